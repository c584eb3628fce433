package io.adclick.adserver;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A JSON value in which numbers keep their text, so that no amount goes through a binary float. Jackson reads it; of what it
 * would be lenient with, UTF-8 is checked before.
 */
final class Json {
  enum Kind {
    OBJECT,
    LIST,
    TEXT,
    NUMBER,
    BOOLEAN,
    NULL
  }

  /** Why a text is none of ours. */
  static final class Malformed extends Exception {
    private static final long serialVersionUID = 1L;

    final boolean tooDeep;

    Malformed(boolean tooDeep) {
      super(null, null, false, false);
      this.tooDeep = tooDeep;
    }
  }

  static final int MAX_DEPTH = 32;

  // Names come from outside and are seen once: no table of them is kept, which somebody could fill.
  static final JsonFactory FACTORY =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .streamReadConstraints(StreamReadConstraints.builder().maxNameLength(Integer.MAX_VALUE).build())
          .build();

  private static final List<Json> NONE = List.of();

  final Kind kind;
  /** What a text or a number has. */
  final String text;
  /** What a boolean is. */
  final boolean truth;
  /** What a list has; or an object, beside {@link #names}. */
  final List<Json> items;

  final List<String> names;

  private Json(Kind kind, String text, boolean truth, List<Json> items, List<String> names) {
    this.kind = kind;
    this.text = text;
    this.truth = truth;
    this.items = items;
    this.names = names;
  }

  /** The last member of that name; null when there is none, or when it is null. */
  Json find(String name) {
    for (int i = names.size(); i-- > 0; ) {
      if (names.get(i).equals(name)) {
        return items.get(i).kind == Kind.NULL ? null : items.get(i);
      }
    }
    return null;
  }

  static Json parse(ByteBuffer utf8) throws Malformed {
    CharBuffer chars;
    try {
      chars = StandardCharsets.UTF_8.newDecoder().decode(utf8);
    } catch (CharacterCodingException e) {
      throw new Malformed(false);
    }
    try (JsonParser parser = FACTORY.createParser(chars.array(), chars.arrayOffset(), chars.remaining())) {
      if (parser.nextToken() == null) {
        throw new Malformed(false);
      }
      Json root = value(parser, 0);
      if (parser.nextToken() != null) {
        throw new Malformed(false);
      }
      return root;
    } catch (IOException e) {
      throw new Malformed(false);
    }
  }

  static Json parse(String text) throws Malformed {
    return parse(StandardCharsets.UTF_8.encode(text));
  }

  private static Json value(JsonParser parser, int depth) throws IOException, Malformed {
    switch (parser.currentToken()) {
      case START_OBJECT -> {
        List<String> names = new ArrayList<>();
        List<Json> members = new ArrayList<>();
        enter(depth);
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          names.add(parser.currentName());
          parser.nextToken();
          members.add(value(parser, depth + 1));
        }
        return new Json(Kind.OBJECT, null, false, members, names);
      }
      case START_ARRAY -> {
        List<Json> items = new ArrayList<>();
        enter(depth);
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          items.add(value(parser, depth + 1));
        }
        return new Json(Kind.LIST, null, false, items, List.of());
      }
      case VALUE_STRING -> {
        return new Json(Kind.TEXT, parser.getText(), false, NONE, List.of());
      }
      case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> {
        return new Json(Kind.NUMBER, parser.getText(), false, NONE, List.of());
      }
      case VALUE_TRUE, VALUE_FALSE -> {
        return new Json(Kind.BOOLEAN, null, parser.currentToken() == JsonToken.VALUE_TRUE, NONE, List.of());
      }
      case VALUE_NULL -> {
        return new Json(Kind.NULL, null, false, NONE, List.of());
      }
      default -> throw new Malformed(false);
    }
  }

  private static void enter(int depth) throws Malformed {
    if (depth >= MAX_DEPTH) {
      throw new Malformed(true);
    }
  }

  /** What a number's text is as an integer: of a type, or too large for a long. */
  enum Integral {
    YES,
    NO,
    TOO_LARGE
  }

  static Integral integral(String number) {
    for (int i = 0; i < number.length(); i++) {
      char c = number.charAt(i);
      if (c == '.' || c == 'e' || c == 'E') {
        return Integral.NO;
      }
    }
    // 19 digits may overflow; no rule allows as many.
    return number.length() > 18 ? Integral.TOO_LARGE : Integral.YES;
  }
}
