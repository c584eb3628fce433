package io.adclick.adserver;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Whether a request lets its user be known: TCF, GPP and US privacy (../../../../../../../../openrtb/MAPPING.md, section 4). What
 * cannot be read does not.
 */
final class Consent {
  private static final int MAX_LISTED = 64;
  private static final long MAX_SECTION = 255;
  /** What needs the user's consent where GDPR applies. */
  private static final int[] PURPOSES = {1, 3, 4, 7};

  private static final int TCF = 2;
  private static final int US_PRIVACY = 6;
  private static final int US_NATIONAL = 7;
  private static final int LAST_US = 27;

  /** Thrown and caught here: a signal that cannot be read. */
  private static final class Unreadable extends Exception {
    private static final long serialVersionUID = 1L;

    Unreadable() {
      super(null, null, false, false);
    }
  }

  private Consent() {}

  /**
   * Reads the signals of a request.
   *
   * @param regs the request's object; null when it has none
   * @param user likewise
   * @param vendor the bidder's number in the Global Vendor List; 0 = it has none
   */
  static boolean permits(Json regs, Json user, long vendor) {
    try {
      return read(regs, user, vendor);
    } catch (Unreadable e) {
      return false;
    }
  }

  private static boolean read(Json regs, Json user, long vendor) throws Unreadable {
    Json ext = regs == null ? null : regs.find("ext");
    require(ext == null || ext.kind == Json.Kind.OBJECT);
    String gpp = text(regs, "gpp");
    String usPrivacy = text(regs, "us_privacy");
    if (!usPrivacy.isEmpty() && !usPrivacy(usPrivacy)) {
      return false;
    }
    Json gdpr = hereOrExt(regs, "gdpr");
    boolean no = gdpr != null && gdpr.kind == Json.Kind.NUMBER && (gdpr.text.equals("0") || gdpr.text.equals("-0"));
    if (gdpr != null && !no) {
      String consent = text(user, "consent");
      if (consent.isEmpty() && !gpp.isEmpty()) {
        consent = sections(gpp).getOrDefault(TCF, "");
      }
      if (!tcf(consent, vendor)) {
        return false;
      }
    }
    return gpp(hereOrExt(regs, "gpp_sid"), gpp, vendor);
  }

  /** A member, or that of ext, where older requests have it; null when there is none. */
  private static Json hereOrExt(Json object, String name) {
    if (object == null) {
      return null;
    }
    Json found = object.find(name);
    Json ext = found == null ? object.find("ext") : null;
    return ext != null && ext.kind == Json.Kind.OBJECT ? ext.find(name) : found;
  }

  /** Empty when there is none. */
  private static String text(Json object, String name) throws Unreadable {
    Json found = hereOrExt(object, name);
    require(found == null || found.kind == Json.Kind.TEXT);
    return found == null ? "" : found.text;
  }

  private static boolean gpp(Json listed, String text, long vendor) throws Unreadable {
    List<Integer> applies = new ArrayList<>();
    if (listed != null) {
      require(listed.kind == Json.Kind.LIST && listed.items.size() <= MAX_LISTED);
      for (Json one : listed.items) {
        require(one.kind == Json.Kind.NUMBER && Json.integral(one.text) == Json.Integral.YES);
        long number = Long.parseLong(one.text);
        require(number == (int) number);
        applies.add((int) number);
      }
    }
    boolean none = applies.stream().allMatch(number -> number == 0);
    if (none && (!applies.isEmpty() || text.isEmpty())) {
      return true;
    }
    Map<Integer, String> sections = sections(text);
    for (int number : applies.isEmpty() ? sections.keySet() : applies) {
      if (number != 0 && !section(number, sections.getOrDefault(number, ""), vendor)) {
        return false;
      }
    }
    return true;
  }

  private static boolean section(int number, String text, long vendor) throws Unreadable {
    return switch (number) {
      case TCF -> tcf(text, vendor);
      case US_PRIVACY -> usPrivacy(text);
      default -> number >= US_NATIONAL && number <= LAST_US && usSection(number, text);
    };
  }

  /** The sections of a GPP string by their numbers. */
  private static Map<Integer, String> sections(String text) throws Unreadable {
    String[] parts = text.split("~", -1);
    Bits from = new Bits(parts[0].split("\\.", -1)[0]);
    require(from.read(6) == 3 && from.read(6) == 1);
    Map<Integer, String> sections = new TreeMap<>();
    int at = 1;
    long last = 0;
    for (long n = from.read(12); n > 0; n--) {
      boolean range = from.read(1) == 1;
      long number = last + from.fibonacci();
      last = range ? number + from.fibonacci() : number;
      require(last <= MAX_SECTION);
      for (; number <= last; number++) {
        require(at < parts.length);
        sections.put((int) number, parts[at++]);
      }
    }
    require(at == parts.length);
    return sections;
  }

  /** A TCF string, version 2: consent to each purpose and to the vendor, and no publisher's restriction against it. */
  private static boolean tcf(String text, long vendor) throws Unreadable {
    Bits from = new Bits(text.split("\\.", -1)[0]);
    require(from.read(6) == 2);
    from.skip(146); // dates, the consent screen, languages, versions, special features
    long agreed = from.read(24);
    from.skip(24 + 1 + 12); // legitimate interest, whether purpose 1 was asked for, the publisher's country
    boolean permitted = from.vendorsHave(vendor) && vendor != 0;
    for (int purpose : PURPOSES) {
      permitted &= (agreed >> (24 - purpose) & 1) == 1;
    }
    from.vendorsHave(vendor); // legitimate interest
    for (long n = from.read(12); n > 0; n--) {
      long purpose = from.read(6);
      boolean requiresConsent = from.read(2) == 1;
      boolean ours = false;
      for (int one : PURPOSES) {
        ours |= one == purpose;
      }
      permitted &= !from.rangesHave(vendor) || !ours || requiresConsent;
    }
    return permitted;
  }

  private static boolean usPrivacy(String text) throws Unreadable {
    require(text.length() == 4 && text.charAt(0) == '1' && text.chars().skip(1).allMatch(c -> "YNyn-".indexOf(c) >= 0));
    return text.charAt(2) != 'Y' && text.charAt(2) != 'y';
  }

  /** Where the opt-outs of a US section begin: sale, sharing, targeted advertising, as far as it has them. */
  private static int[] optOuts(int section) {
    return switch (section) {
      case US_NATIONAL -> new int[] {18, 20, 22};
      case 11, 18 -> new int[] {14, 16};
      default -> section >= 24 ? new int[] {16, 18} : new int[] {12, 14};
    };
  }

  private static boolean usSection(int section, String text) throws Unreadable {
    String[] segments = text.split("\\.", -1);
    long version = new Bits(segments[0]).read(6);
    require(version == 1 || (version == 2 && section == US_NATIONAL));
    for (int begin : optOuts(section)) {
      Bits from = new Bits(segments[0]);
      from.skip(begin);
      long opted = from.read(2);
      if (opted == 1 || opted == 3) {
        return false;
      }
    }
    for (int i = 1; i < segments.length; i++) {
      Bits from = new Bits(segments[i]);
      boolean globalControl = from.read(2) == 1 && from.read(1) == 1;
      if (globalControl) {
        return false;
      }
    }
    return true;
  }

  private static void require(boolean is) throws Unreadable {
    if (!is) {
      throw new Unreadable();
    }
  }

  /** The bits of a text in base64url without padding, the highest first. */
  private static final class Bits {
    private static final String DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    private final String text;
    private int at;

    Bits(String text) throws Unreadable {
      this.text = text;
      require(!text.isEmpty());
      for (int i = 0; i < text.length(); i++) {
        require(DIGITS.indexOf(text.charAt(i)) >= 0);
      }
    }

    void skip(long n) throws Unreadable {
      require(at + n <= 6L * text.length());
      at += (int) n;
    }

    long read(int width) throws Unreadable {
      int begin = at;
      skip(width);
      long number = 0;
      for (int i = begin; i < at; i++) {
        number = number << 1 | (DIGITS.indexOf(text.charAt(i / 6)) >> (5 - i % 6) & 1);
      }
      return number;
    }

    /** A sum of Fibonacci numbers, the smallest first, that ends with two ones. */
    long fibonacci() throws Unreadable {
      long sum = 0;
      long one = 1;
      long two = 2;
      boolean before = false;
      while (true) {
        boolean bit = read(1) == 1;
        if (bit && before) {
          return sum;
        }
        sum += bit ? one : 0;
        require(two <= 1000);
        two += one;
        one = two - one;
        before = bit;
      }
    }

    boolean rangesHave(long vendor) throws Unreadable {
      boolean found = false;
      for (long n = read(12); n > 0; n--) {
        boolean range = read(1) == 1;
        long first = read(16);
        long last = range ? read(16) : first;
        found |= first <= vendor && vendor <= last;
      }
      return found;
    }

    boolean vendorsHave(long vendor) throws Unreadable {
      long most = read(16);
      if (read(1) == 1) {
        return rangesHave(vendor);
      }
      if (vendor == 0 || vendor > most) {
        skip(most);
        return false;
      }
      skip(vendor - 1);
      boolean found = read(1) == 1;
      skip(most - vendor);
      return found;
    }
  }
}
