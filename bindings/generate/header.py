"""Reads include/adclick.h: constants, enums and structs with their comments, and where the fields of the structs stand."""

import dataclasses
import re

SIZES = {"uint8_t": 1, "char": 1, "uint32_t": 4, "int32_t": 4, "float": 4, "uint64_t": 8, "int64_t": 8, "double": 8}


class Unknown(Exception):
    """Something of the header that a language has no word for yet."""


@dataclasses.dataclass
class Number:
    name: str
    value: int
    doc: str


@dataclasses.dataclass
class Enum:
    name: str
    doc: str
    numbers: list


@dataclasses.dataclass
class Field:
    name: str
    type: str
    count: int | None
    doc: str
    offset: int = 0

    @property
    def size(self):
        return SIZES[self.type] * (self.count or 1)

    @property
    def enum(self):
        """The enum whose numbers stand in this field."""
        found = re.search(r"\b[Aa]n `(adclick_\w+)`", self.doc)
        return found and found[1]


@dataclasses.dataclass
class Struct:
    name: str
    doc: str
    fields: list
    size: int = 0

    def __getitem__(self, name):
        return next(field for field in self.fields if field.name == name)


@dataclasses.dataclass
class Abi:
    constants: dict
    enums: dict
    structs: dict


def lay_out(struct):
    """Offsets and size by the rules of C."""
    end, alignment = 0, 1
    for field in struct.fields:
        size = SIZES[field.type]
        field.offset = -(-end // size) * size
        end, alignment = field.offset + field.size, max(alignment, size)
    struct.size = -(-end // alignment) * alignment


def read(path):
    abi = Abi({}, {}, {})
    doc, open_item = [], None
    text = path.read_text()
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("//"):
            doc.append(line[2:].strip())
            continue
        about = "\n".join(doc)
        doc = []
        if found := re.fullmatch(r"#define (ADCLICK_\w+) (\w+)", line):
            value = 0xFFFFFFFF if found[2] == "UINT32_MAX" else int(found[2], 0)
            abi.constants[found[1]] = Number(found[1], value, about)
        elif found := re.fullmatch(r"ADCLICK_ENUM\((\w+), \w+\) \{", line):
            open_item = abi.enums[found[1]] = Enum(found[1], about, [])
        elif found := re.fullmatch(r"typedef struct (\w+) \{", line):
            open_item = abi.structs[found[1]] = Struct(found[1], about, [])
        elif line.startswith("}"):
            open_item = None
        elif isinstance(open_item, Enum) and (found := re.fullmatch(r"(\w+) = (-?\d+),", line)):
            open_item.numbers.append(Number(found[1], int(found[2]), about))
        elif isinstance(open_item, Struct) and (found := re.fullmatch(r"(\w+) (\w+)(?:\[(\w+)\])?;", line)):
            count = found[3] and (int(found[3]) if found[3].isdigit() else abi.constants[found[3]].value)
            open_item.fields.append(Field(found[2], found[1], count, about))
    for struct in abi.structs.values():
        lay_out(struct)
    for name, size in re.findall(r"ADCLICK_ASSERT_SIZE\((\w+), (\d+)\);", text):
        assert abi.structs[name].size == int(size), f"{name} has {abi.structs[name].size} bytes by these rules, {size} by the header"
    for name, field, offset in re.findall(r"ADCLICK_ASSERT_AT\((\w+), (\w+), (\d+)\);", text):
        assert abi.structs[name][field].offset == int(offset), f"{name}.{field} is not at {offset}"
    return abi


def words(name, initialisms):
    """snake_case, or SCREAMING, as CamelCase with the given spellings."""
    return "".join(initialisms.get(word, word.capitalize()) for word in name.lower().split("_"))


def flat(doc):
    """A comment as one line for each paragraph."""
    return re.sub(r"\n(?!\n)", " ", doc)


def lower_first(text):
    """The first letter small, unless the word is an abbreviation."""
    first = re.match(r"[A-Za-z]\w*", text)
    return text if not first or len(first[0]) > 1 and not first[0][1:].islower() else text[0].lower() + text[1:]


def upper_first(text):
    return text[:1].upper() + text[1:]


def of_struct(doc):
    """Without the size, which is the header's affair."""
    return re.sub(r" ?\d+ bytes(?:; [^.]*)?\.", "", doc).strip()


def of_field(field):
    """Without the name of the enum, which is the field's type in other languages, and without how C states its size."""
    doc = re.sub(r"^(?:1 \+ )?[Aa]n `adclick_\w+`(?:: |\.$|; )", "", field.doc)
    return upper_first(doc)


def told(doc, references, where):
    """The comment with its references as another language writes them."""

    def replace(found):
        name = found[1]
        if name in references:
            return references[name]
        if name.startswith(("adclick_", "ADCLICK_")):
            raise Unknown(f"{where}: its comment names {name}, which has no name there yet")
        return found[0]

    return re.sub(r"`(\w+(?:\.\w+)*)`", replace, doc)


def wrapped(text, begin, width):
    """A comment's lines, each beginning with `begin`."""
    lines = []
    for paragraph in flat(text).split("\n"):
        line = begin.rstrip()
        for word in paragraph.split():
            if len(line) + 1 + len(word) > width and line != begin.rstrip():
                lines.append(line)
                line = begin.rstrip()
            line += (" " if line == begin.rstrip() and begin.endswith(" ") or line != begin.rstrip() else "") + word
        lines.append(line)
    return lines
