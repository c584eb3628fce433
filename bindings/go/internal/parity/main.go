// Parity answers the requests of a file, as tests/parity/README.md says, so that its answers can be compared with those of
// other languages byte by byte: parity BUNDLE requests.bin outputs.bin
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"adclick.io/adclick"
)

const maxCandidates = 200

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: parity BUNDLE requests.bin outputs.bin")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run(bundle, from, to string) error {
	engine, err := adclick.Open(bundle, adclick.Options{})
	if err != nil {
		return err
	}
	defer engine.Close()
	scorer, err := engine.NewScorer(maxCandidates)
	if err != nil {
		return err
	}
	defer scorer.Close()
	requests, err := os.Open(from)
	if err != nil {
		return err
	}
	defer requests.Close()
	outputs, err := os.Create(to)
	if err != nil {
		return err
	}
	defer outputs.Close()
	in, out := &source{Reader: bufio.NewReader(requests)}, bufio.NewWriter(outputs)
	if err := answerAll(engine, scorer, in, out); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return errors.Join(out.Flush(), outputs.Close())
}

// What is read; after a failure everything is 0.
type source struct {
	*bufio.Reader
	failed error
}

func (s *source) bytes(n int) []byte {
	bytes := make([]byte, n)
	if s.failed == nil {
		_, s.failed = io.ReadFull(s.Reader, bytes)
	}
	return bytes
}

func (s *source) uint32() uint32 { return binary.LittleEndian.Uint32(s.bytes(4)) }

// The bytes of each struct in the files: a later header may have more fields at the end.
const (
	requestSize   = 96
	candidateSize = 128
	winnerSize    = 120
	outcomeSize   = 56
	valueSize     = 16
)

// The bytes of a struct without pointers and holes.
func bytesOf[T any](of *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(of)), unsafe.Sizeof(*of))
}

func read[T any](s *source, n uint32, size int) []T {
	of := make([]T, n)
	for i := range of {
		copy(bytesOf(&of[i]), s.bytes(size))
	}
	return of
}

func write[T any](out *bufio.Writer, of []T, size int) {
	for i := range of {
		out.Write(bytesOf(&of[i])[:size])
	}
}

func answerAll(engine *adclick.Engine, scorer *adclick.Scorer, in *source, out *bufio.Writer) error {
	if magic := in.bytes(8); in.failed == nil && string(magic) != "ADCLKRQ2" {
		return fmt.Errorf("expected ADCLKRQ2 at the beginning, found %q", magic)
	}
	count, _ := in.uint32(), in.uint32()
	handles := make([]uint32, in.uint32())
	for i := range handles {
		name := in.bytes(int(in.uint32()))
		if in.failed != nil {
			return in.failed
		}
		var err error
		if handles[i], err = engine.Feature(string(name)); err != nil {
			return err
		}
	}
	out.WriteString("ADCLKOU1")
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(count)))
	for range count {
		if err := answer(scorer, in, out, handles); err != nil {
			return err
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return errors.New("something stands behind the last request")
	}
	return nil
}

func answer(scorer *adclick.Scorer, in *source, out *bufio.Writer, handles []uint32) error {
	raw := in.bytes(requestSize)
	request := adclick.Input{}
	copy(bytesOf(&request.Request), raw)
	counts := raw[36:48] // n_values, n_candidates, n_candidate_values
	request.Values = read[adclick.Value](in, binary.LittleEndian.Uint32(counts), valueSize)
	request.Candidates = read[adclick.Candidate](in, binary.LittleEndian.Uint32(counts[4:]), candidateSize)
	request.CandidateValues = read[adclick.Value](in, binary.LittleEndian.Uint32(counts[8:]), valueSize)
	n := len(request.Candidates)
	columns := in.bytes(24) // struct_size, flags, n_ids, n_numbers, missing_id
	ids, numbers := binary.LittleEndian.Uint32(columns[8:]), binary.LittleEndian.Uint32(columns[12:])
	request.Columns = adclick.ColumnValues{
		IDFeatures:     read[uint32](in, ids, 4),
		IDs:            read[uint64](in, ids*uint32(n), 8),
		NumberFeatures: read[uint32](in, numbers, 4),
		Numbers:        read[float32](in, numbers*uint32(n), 4),
		HasMissingID:   columns[4] != 0,
		MissingID:      binary.LittleEndian.Uint64(columns[16:]),
	}
	if in.failed != nil {
		return in.failed
	}
	for _, features := range [][]uint32{request.Columns.IDFeatures, request.Columns.NumberFeatures} {
		for i := range features {
			features[i] = handles[features[i]]
		}
	}
	for _, values := range [][]adclick.Value{request.Values, request.CandidateValues} {
		for i := range values {
			values[i].Feature = handles[values[i].Feature]
		}
	}
	winners := make([]adclick.Winner, min(max(int(request.Request.Slots), 1), n))
	reasons := make([]adclick.Reason, n)
	outcome, err := scorer.Decide(&request, winners, reasons)
	status := adclick.Status(0)
	if err != nil && !errors.As(err, &status) {
		return err
	}
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(uint32(status))))
	if err != nil {
		return nil
	}
	pctr, pcvr := make([]float32, n), make([]float32, n)
	if _, err := scorer.Score(&request, pctr, pcvr); err != nil {
		return err
	}
	outcome.Precision -= adclick.Exact // the library's number
	for i := range winners[:outcome.Winners] {
		if winners[i].ImpressionID|winners[i].ImpressionIDHigh == 0 {
			return errors.New("a winner without an impression id")
		}
		winners[i].ImpressionID, winners[i].ImpressionIDHigh = 0, 0 // no two decisions share an id
	}
	write(out, []adclick.Outcome{outcome}, outcomeSize)
	write(out, winners[:outcome.Winners], winnerSize)
	write(out, reasons, 4)
	write(out, pctr, 4)
	write(out, pcvr, 4)
	return nil // a failed write is told by Flush
}
