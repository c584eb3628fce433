package io.adclick.adserver;

/** Upper and lower case of the ASCII letters alone, whatever the machine's language. */
final class Ascii {
  private Ascii() {}

  static String upper(String text) {
    return recased(text, 'a', 'z');
  }

  static String lower(String text) {
    return recased(text, 'A', 'Z');
  }

  private static String recased(String text, char first, char last) {
    char[] chars = null;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c >= first && c <= last) {
        if (chars == null) {
          chars = text.toCharArray();
        }
        chars[i] = (char) (c ^ 0x20);
      }
    }
    return chars == null ? text : new String(chars);
  }
}
