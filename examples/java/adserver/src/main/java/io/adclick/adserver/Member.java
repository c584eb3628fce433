package io.adclick.adserver;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** An object of a request and the way to it, which is spelt out only when something is wrong. */
final class Member {
  private static final int MAX_ID = 256;

  private final Json held;
  private final Member above;
  private final String name;
  private final int index;

  private Member(Json held, Member above, String name, int index) {
    this.held = held;
    this.above = above;
    this.name = name;
    this.index = index;
  }

  static Member root(Json held) throws Invalid {
    if (held.kind != Json.Kind.OBJECT) {
      throw new Invalid("type", "");
    }
    return new Member(held, null, "", -1);
  }

  String path() {
    if (above == null) {
      return "";
    }
    String here = above.path(name);
    return index < 0 ? here : here + "[" + index + "]";
  }

  String path(String member) {
    String here = path();
    return here.isEmpty() ? member : here + "." + member;
  }

  Invalid refuse(String error, String member) {
    return new Invalid(error, path(member));
  }

  Json held() {
    return held;
  }

  /** A required text that is not empty, or an object in its place. */
  Json textOrObject(String member) throws Invalid {
    Json found = held.find(member);
    if (found == null || found.kind != Json.Kind.OBJECT) {
      requiredText(member);
    }
    return found;
  }

  boolean has(String member) {
    return held.find(member) != null;
  }

  /** A member of that type; null when there is none. */
  Json find(String member, Json.Kind kind) throws Invalid {
    Json found = held.find(member);
    if (found != null && found.kind != kind) {
      throw refuse("type", member);
    }
    return found;
  }

  /** A member that is an object; null when there is none. */
  Member child(String member) throws Invalid {
    Json found = find(member, Json.Kind.OBJECT);
    return found == null ? null : new Member(found, this, member, -1);
  }

  /** An entry of one of its lists. */
  Member entry(String list, List<Json> items, int at) throws Invalid {
    if (items.get(at).kind != Json.Kind.OBJECT) {
      throw new Invalid("type", path(list) + "[" + at + "]");
    }
    return new Member(items.get(at), this, list, at);
  }

  /** A text; empty when there is none. */
  String text(String member) throws Invalid {
    Json found = find(member, Json.Kind.TEXT);
    return found == null ? "" : found.text;
  }

  String requiredText(String member) throws Invalid {
    Json found = find(member, Json.Kind.TEXT);
    if (found == null) {
      throw refuse("missing", member);
    }
    if (found.text.isEmpty()) {
      throw refuse("empty", member);
    }
    return found.text;
  }

  String requiredId(String member) throws Invalid {
    String id = requiredText(member);
    if (id.length() > MAX_ID || id.getBytes(StandardCharsets.UTF_8).length > MAX_ID) {
      throw refuse("range", member);
    }
    return id;
  }

  long integer(String member, long otherwise) throws Invalid {
    return integer(member, Integer.MIN_VALUE, Integer.MAX_VALUE, otherwise);
  }

  long notNegative(String member) throws Invalid {
    return integer(member, 0, Integer.MAX_VALUE, 0);
  }

  long integer(String member, long least, long most, long otherwise) throws Invalid {
    Json found = find(member, Json.Kind.NUMBER);
    return found == null ? otherwise : integer(found.text, least, most, error -> refuse(error, member));
  }

  private interface Refusal {
    Invalid of(String error);
  }

  private static long integer(String number, long least, long most, Refusal refusal) throws Invalid {
    Json.Integral integral = Json.integral(number);
    if (integral == Json.Integral.NO) {
      throw refusal.of("type");
    }
    long value = integral == Json.Integral.YES ? Long.parseLong(number) : 0;
    if (integral == Json.Integral.TOO_LARGE || value < least || value > most) {
      throw refusal.of("range");
    }
    return value;
  }

  List<Json> list(String member, int most) throws Invalid {
    Json found = find(member, Json.Kind.LIST);
    if (found == null) {
      return List.of();
    }
    if (found.items.size() > most) {
      throw refuse("too_many", member);
    }
    return found.items;
  }

  /** A list of texts; with numbers among them that count for nothing, if they may be there. */
  List<String> texts(String member, int most, boolean numbers) throws Invalid {
    List<Json> items = list(member, most);
    List<String> texts = new ArrayList<>(items.size());
    for (int i = 0; i < items.size(); i++) {
      Json item = items.get(i);
      if (item.kind == Json.Kind.TEXT) {
        texts.add(item.text);
      } else if (!numbers || item.kind != Json.Kind.NUMBER) {
        throw new Invalid("type", path(member) + "[" + i + "]");
      }
    }
    return texts;
  }

  long[] integers(String member, int most) throws Invalid {
    List<Json> items = list(member, most);
    long[] all = new long[items.size()];
    for (int i = 0; i < all.length; i++) {
      String at = path(member) + "[" + i + "]";
      if (items.get(i).kind != Json.Kind.NUMBER) {
        throw new Invalid("type", at);
      }
      all[i] = integer(items.get(i).text, Integer.MIN_VALUE, Integer.MAX_VALUE, error -> new Invalid(error, at));
    }
    return all;
  }
}
