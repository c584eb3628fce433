package io.adclick.adserver;

import java.util.ArrayList;
import java.util.List;

/** What a native request asks for, and what fills it (../../../../../../../../openrtb/MAPPING.md, section 5). */
record NativeRequest(boolean wrapped, List<Asset> assets) {
  private static final int MAX_ASSETS = 32;

  /** What an asset can be filled with. */
  enum Part {
    TITLE,
    IMAGE,
    ICON,
    SPONSOR,
    DESCRIPTION,
    NOTHING
  }

  /** A title has up to {@code longest} code points; 0 = any number. */
  record Asset(long id, boolean required, Part asks, long longest) {
    boolean filledBy(Ad ad) {
      return asks != Part.NOTHING && (asks != Part.TITLE || longest == 0 || longest >= ad.nativeAd.titleLength());
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
  static NativeRequest read(String text) {
    try {
      Json root = Json.parse(text);
      require(root.kind == Json.Kind.OBJECT);
      Json inner = root.find("native");
      boolean wrapped = inner != null && inner.kind == Json.Kind.OBJECT;
      Json list = (wrapped ? inner : root).find("assets");
      require(list != null && list.kind == Json.Kind.LIST && !list.items.isEmpty() && list.items.size() <= MAX_ASSETS);
      List<Asset> assets = new ArrayList<>();
      for (Json held : list.items) {
        assets.add(asset(held));
      }
      return new NativeRequest(wrapped, assets);
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
    Json found;
    if ((found = part(held, "title")) != null) {
      asks = Part.TITLE;
      Long length = integer(found, "len");
      longest = length == null ? 0 : Math.max(length, 0);
    } else if ((found = part(held, "img")) != null) {
      Long type = integer(found, "type");
      asks = type == null || type == 3 ? Part.IMAGE : type == 1 ? Part.ICON : Part.NOTHING;
    } else if ((found = part(held, "data")) != null) {
      Long type = integer(found, "type");
      asks = type == null ? Part.NOTHING : type == 1 ? Part.SPONSOR : type == 2 ? Part.DESCRIPTION : Part.NOTHING;
    } else {
      part(held, "video");
    }
    return new Asset(id, required != null && required == 1, asks, longest);
  }

  private static Json part(Json held, String name) throws Unfit {
    Json found = held.find(name);
    require(found == null || found.kind == Json.Kind.OBJECT);
    return found;
  }

  private static Long integer(Json held, String name) throws Unfit {
    Json found = held.find(name);
    if (found == null) {
      return null;
    }
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
