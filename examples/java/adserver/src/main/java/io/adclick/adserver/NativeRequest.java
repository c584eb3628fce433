package io.adclick.adserver;

import java.util.ArrayList;
import java.util.List;

/** What a native request asks for, and what fills it (../../../../../../../../openrtb/MAPPING.md, section 5). */
record NativeRequest(boolean wrapped, List<Asset> assets, Tracking tracked) {
  private static final int MAX_ASSETS = 32;
  private static final int MAX_LISTED = 64;

  /** How an impression is to be told. */
  enum Tracking {
    IMP_TRACKERS,
    EVENT_TRACKERS,
    NONE
  }

  /** What an asset can be filled with. */
  enum Part {
    TITLE,
    IMAGE,
    ICON,
    SPONSOR,
    DESCRIPTION,
    NOTHING
  }

  /** What a picture must be: its size, or the least one, where 0 is any; its type, where none is any. */
  record Frame(long w, long h, long wmin, long hmin, List<String> mimes) {
    static final Frame ANY = new Frame(0, 0, 0, 0, List.of());

    boolean takes(Ad.Picture picture) {
      return side(w, wmin, picture.w()) && side(h, hmin, picture.h()) && (mimes.isEmpty() || mimes.contains(picture.mime()));
    }

    private static boolean side(long exact, long least, long held) {
      return least > 0 ? held >= least : exact == 0 || held == exact;
    }
  }

  /** A title or a datum has up to {@code longest} code points; 0 = any number. */
  record Asset(long id, boolean required, Part asks, long longest, Frame frame) {
    boolean filledBy(Ad ad) {
      return switch (asks) {
        case TITLE -> takes(ad.nativeAd.title());
        case SPONSOR -> takes(ad.advertiser.name());
        case DESCRIPTION -> takes(ad.nativeAd.description());
        case ICON -> frame.takes(ad.nativeAd.icon());
        case IMAGE -> frame.takes(ad.nativeAd.image());
        case NOTHING -> false;
      };
    }

    private boolean takes(String text) {
      return longest == 0 || longest >= text.codePointCount(0, text.length());
    }
  }

  /** Thrown and caught here: something is not as the mapping says, so no native ad passes. */
  private static final class Unfit extends Exception {
    private static final long serialVersionUID = 1L;

    Unfit() {
      super(null, null, false, false);
    }
  }

  /** Null when no native ad can fill it. */
  static NativeRequest read(Json asked) {
    try {
      Json root = asked.kind == Json.Kind.TEXT ? Json.parse(asked.text) : asked;
      require(root.kind == Json.Kind.OBJECT);
      Json inner = root.find("native");
      boolean wrapped = inner != null && inner.kind == Json.Kind.OBJECT;
      Json counts = wrapped ? inner : root;
      Json list = counts.find("assets");
      require(list != null && list.kind == Json.Kind.LIST && !list.items.isEmpty() && list.items.size() <= MAX_ASSETS);
      List<Asset> assets = new ArrayList<>();
      for (Json held : list.items) {
        assets.add(asset(held));
      }
      return new NativeRequest(wrapped, assets, tracking(counts));
    } catch (Json.Malformed | Unfit e) {
      return null;
    }
  }

  boolean filledBy(Ad ad) {
    boolean any = false;
    for (Asset asset : assets) {
      boolean here = asset.filledBy(ad);
      if (!here && asset.required) {
        return false;
      }
      any |= here;
    }
    return any;
  }

  private static Asset asset(Json held) throws Unfit {
    require(held.kind == Json.Kind.OBJECT);
    Long id = integer(held, "id");
    require(id != null);
    Long required = integer(held, "required");
    Part asks = Part.NOTHING;
    long longest = 0;
    Frame frame = Frame.ANY;
    Json found;
    if ((found = part(held, "title")) != null) {
      asks = Part.TITLE;
      longest = limit(found, "len");
    } else if ((found = part(held, "img")) != null) {
      Long type = integer(found, "type");
      asks = type == null || type == 3 ? Part.IMAGE : type == 1 ? Part.ICON : Part.NOTHING;
      frame =
          new Frame(limit(found, "w"), limit(found, "h"), limit(found, "wmin"), limit(found, "hmin"), texts(found, "mimes"));
    } else if ((found = part(held, "data")) != null) {
      Long type = integer(found, "type");
      asks = type == null ? Part.NOTHING : type == 1 ? Part.SPONSOR : type == 2 ? Part.DESCRIPTION : Part.NOTHING;
      longest = limit(found, "len");
    } else {
      part(held, "video");
    }
    return new Asset(id, required != null && required == 1, asks, longest, frame);
  }

  /** An image (method 1) is how we can tell of an impression (event 1). */
  private static Tracking tracking(Json counts) throws Unfit {
    if (counts.find("eventtrackers") == null) {
      return Tracking.IMP_TRACKERS;
    }
    Tracking tracked = Tracking.NONE;
    for (Json tracker : list(counts, "eventtrackers", MAX_ASSETS, Json.Kind.OBJECT)) {
      Long event = integer(tracker, "event");
      for (Json method : list(tracker, "methods", MAX_LISTED, Json.Kind.NUMBER)) {
        boolean image = integer(method) == 1;
        tracked = image && event != null && event == 1 ? Tracking.EVENT_TRACKERS : tracked;
      }
    }
    return tracked;
  }

  /** Empty when there is none. */
  private static List<Json> list(Json held, String name, int most, Json.Kind of) throws Unfit {
    Json found = held.find(name);
    if (found == null) {
      return List.of();
    }
    require(found.kind == Json.Kind.LIST && found.items.size() <= most);
    for (Json item : found.items) {
      require(item.kind == of);
    }
    return found.items;
  }

  private static List<String> texts(Json held, String name) throws Unfit {
    List<String> texts = new ArrayList<>();
    for (Json item : list(held, name, MAX_LISTED, Json.Kind.TEXT)) {
      texts.add(item.text);
    }
    return texts;
  }

  /** 0 when there is none. */
  private static long limit(Json held, String name) throws Unfit {
    Long found = integer(held, name);
    return found == null ? 0 : Math.max(found, 0);
  }

  private static Json part(Json held, String name) throws Unfit {
    Json found = held.find(name);
    require(found == null || found.kind == Json.Kind.OBJECT);
    return found;
  }

  private static Long integer(Json held, String name) throws Unfit {
    Json found = held.find(name);
    return found == null ? null : integer(found);
  }

  private static long integer(Json found) throws Unfit {
    require(found.kind == Json.Kind.NUMBER && Json.integral(found.text) == Json.Integral.YES);
    long number = Long.parseLong(found.text);
    require(number >= Integer.MIN_VALUE && number <= Integer.MAX_VALUE);
    return number;
  }

  private static void require(boolean is) throws Unfit {
    if (!is) {
      throw new Unfit();
    }
  }
}
