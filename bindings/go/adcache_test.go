package adclick_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"adclick.io/adclick"
)

// A bundle whose ad cache takes more than a mebibyte and is worth it: a layer of 64 outputs over a vector of 64 of 6000 ads.
func bundleOfManyAds(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	type tensor struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, values := map[string]tensor{}, []float32{}
	add := func(name string, shape ...int) {
		begin := 4 * len(values)
		count := 1
		for _, n := range shape {
			count *= n
		}
		for range count {
			values = append(values, 0.01)
		}
		header[name] = tensor{"F32", shape, [2]int{begin, 4 * len(values)}}
	}
	add("dnn.0.weight", 64, 65)
	add("dnn.0.bias", 64)
	add("output_layer.weight", 1, 64)
	add("output_layer.bias", 1)
	var weights bytes.Buffer
	encoded := must[[]byte](t)(json.Marshal(header))
	for _, part := range []any{uint64(len(encoded)), encoded, values} {
		if err := binary.Write(&weights, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	schema := `
[[features]]
name = "passed"
kind = "number"
source = "context"
[[features]]
name = "v"
kind = "vector"
source = "ad"
column = "ads.v"
[[tables]]
name = "ads"
key = "ad"
raw = "integer"
columns = [{ name = "v", type = "vector", dim = 64 }]
`
	var ads bytes.Buffer
	ads.WriteString("ad_id,v\n")
	for ad := 1; ad <= 6000; ad++ {
		fmt.Fprintf(&ads, "%d,%s\n", ad, strings.TrimSpace(strings.Repeat(fmt.Sprintf("%.3f ", float64(ad)/6000), 64)))
	}
	path := filepath.Join(directory, "many")
	err := pack("--weights", write("w.safetensors", weights.Bytes()), "--schema", write("schema.toml", []byte(schema)),
		"--table", "ads="+write("ads.csv", ads.Bytes()), "--out", path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A cache that would take more than the options allow is not made: that is told, and the bundle is served without.
func TestAdCacheTooLarge(t *testing.T) {
	path := bundleOfManyAds(t)
	score := func(mib uint32) (adclick.AdCache, []float32) {
		engine := open(t, path, adclick.Options{AdCacheMiB: mib})
		in := &adclick.Input{Candidates: []adclick.Candidate{{AdKey: 7}, {AdKey: 5999}, {AdKey: 7000}}}
		pctr := make([]float32, len(in.Candidates))
		must[adclick.Outcome](t)(newScorer(t, engine, 3).Score(in, pctr, nil))
		return must[adclick.AdCache](t)(engine.AdCache()), pctr
	}
	small, plain := score(1)
	if small.State != adclick.AdCacheTooLarge || small.Ads != 0 || small.Bytes != 0 || small.BytesNeeded <= 1<<20 {
		t.Errorf("with 1 MiB: %+v", small)
	}
	on, kept := score(2)
	if on.State != adclick.AdCacheOn || on.Ads != 6000 || on.Bytes != small.BytesNeeded {
		t.Errorf("with 2 MiB: %+v, with 1 MiB %+v", on, small)
	}
	for i := range plain {
		if math.Abs(float64(kept[i]-plain[i])) > 1e-6 {
			t.Errorf("candidate %d: %v with the cache, %v without", i, kept[i], plain[i])
		}
	}
}
