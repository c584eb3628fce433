package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf8"
)

// A JSON text is read into a tree first and then checked in the mapping's order, so that the first error is the same
// whatever the order of members. Numbers keep their text; of a member that is given twice the last one counts.

const maxDepth = 32

// A refusal is why a request is invalid: an error of the mapping's list and where.
type refusal struct {
	what, at string
}

func (r *refusal) Error() string {
	return r.what + " at " + strconv.Quote(r.at)
}

func parse(text []byte) (any, *refusal) {
	if tooDeep(text) {
		return nil, &refusal{what: "depth"}
	}
	// The decoder would put U+FFFD in the place of bytes that are no UTF-8.
	if !utf8.Valid(text) {
		return nil, &refusal{what: "json"}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var tree any
	if decoder.Decode(&tree) != nil {
		return nil, &refusal{what: "json"}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, &refusal{what: "json"}
	}
	return tree, nil
}

// Whether objects and lists nest deeper than is allowed; of a text that is no JSON it may say anything.
func tooDeep(text []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

type object = map[string]any

// A reader walks a tree and keeps the first refusal; after it every call does nothing and gives zero values.
type reader struct {
	path    []step
	refused *refusal
}

// A step of a path: a member's name, or an index.
type step struct {
	name  string
	index int
}

func (r *reader) refuse(what string) {
	if r.refused != nil {
		return
	}
	var at []byte
	for _, s := range r.path {
		if s.name == "" {
			at = append(strconv.AppendInt(append(at, '['), int64(s.index), 10), ']')
			continue
		}
		if len(at) > 0 {
			at = append(at, '.')
		}
		at = append(at, s.name...)
	}
	r.refused = &refusal{what, string(at)}
}

func (r *reader) enter(name string) { r.path = append(r.path, step{name: name}) }
func (r *reader) enterAt(index int) { r.path = append(r.path, step{index: index}) }
func (r *reader) leave()            { r.path = r.path[:len(r.path)-1] }

func (r *reader) inside(name string, do func()) {
	r.enter(name)
	do()
	r.leave()
}

// A member's value with the path at it; ok is false when it is not there, null, or of another type.
func member[T any](r *reader, of object, name string, check func(T)) (value T, ok bool) {
	if r.refused != nil || of == nil {
		return value, false
	}
	found := of[name]
	if found == nil {
		return value, false
	}
	r.enter(name)
	defer r.leave()
	if value, ok = found.(T); !ok {
		r.refuse("type")
		return value, false
	}
	if check != nil {
		check(value)
	}
	return value, ok && r.refused == nil
}

// An object, read with the path at it; whether it is there.
func (r *reader) object(of object, name string, read func(object)) bool {
	_, found := member(r, of, name, read)
	return found
}

func (r *reader) text(of object, name string) string {
	value, _ := member[string](r, of, name, nil)
	return value
}

func (r *reader) missing(name string) {
	r.inside(name, func() { r.refuse("missing") })
}

// A required text of 1 to most bytes.
func (r *reader) required(of object, name string, most int) string {
	value, ok := member(r, of, name, func(value string) {
		switch {
		case value == "":
			r.refuse("empty")
		case len(value) > most:
			r.refuse("range")
		}
	})
	if !ok {
		r.missing(name)
	}
	return value
}

func (r *reader) int(of object, name string, least, most, otherwise int64) int64 {
	value := otherwise
	member(r, of, name, func(number json.Number) { value = r.integer(number, least, most) })
	return value
}

// The value of a number that has neither fraction nor exponent.
func (r *reader) integer(number json.Number, least, most int64) int64 {
	for _, c := range number {
		if c != '-' && (c < '0' || c > '9') {
			r.refuse("type")
			return 0
		}
	}
	value, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || value < least || value > most {
		r.refuse("range")
	}
	return value
}

// A list whose entries are read one by one, each with the path at it.
func (r *reader) list(of object, name string, most int, each func(index int, entry any)) (found bool) {
	_, found = member(r, of, name, func(entries []any) {
		if len(entries) > most {
			r.refuse("too_many")
		}
		for i, entry := range entries {
			if r.refused != nil {
				return
			}
			r.enterAt(i)
			each(i, entry)
			r.leave()
		}
	})
	return found
}

// A list of ints.
func (r *reader) integers(of object, name string, most int) (numbers []int64) {
	r.list(of, name, most, func(_ int, entry any) {
		if number, ok := entry.(json.Number); ok {
			numbers = append(numbers, r.integer(number, -anyInt-1, anyInt))
		} else {
			r.refuse("type")
		}
	})
	return numbers
}

func (r *reader) texts(of object, name string, most int) (texts []string) {
	r.list(of, name, most, func(_ int, entry any) {
		if text, ok := entry.(string); ok {
			texts = append(texts, text)
		} else {
			r.refuse("type")
		}
	})
	return texts
}

// A list of texts and numbers: the texts.
func (r *reader) textsAmongNumbers(of object, name string, most int) (texts []string) {
	r.list(of, name, most, func(_ int, entry any) {
		switch entry := entry.(type) {
		case string:
			texts = append(texts, entry)
		case json.Number:
		default:
			r.refuse("type")
		}
	})
	return texts
}
