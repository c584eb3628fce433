// Package adclick is libadclick for Go: click prediction, calibration and the ad auction inside the ad server's own
// process.
//
// An [Engine] holds the live generation (model, calibrators, feature tables and auction policy, published as one) and is
// shared by all goroutines. A [Scorer] is one caller's memory, sized once; it serves one call at a time, so a server keeps
// a [Pool] of them. [Scorer.Decide] takes a request with its candidates and answers who wins at what price;
// [Scorer.Score] gives the probabilities alone.
//
//	engine, err := adclick.Open("bundles", adclick.Options{Follow: time.Second})
//	device, err := engine.Feature("device_type") // once, at start
//	pool, err := engine.NewPool(0, 1000)         // a scorer for each CPU, up to 1000 candidates
//
//	in := adclick.Input{Request: request, Values: context, Candidates: candidates}
//	outcome, err := pool.Decide(ctx, &in, winners, nil)
//	for _, winner := range winners[:outcome.Winners] { … }
//
// # Costs
//
// A request is one cgo call. Requests, candidates, values and results are plain structs that the library reads and writes
// where they are: their layout is that of the C header, which is checked when this package is compiled. Score, ScoreDense
// and Decide allocate nothing on either side as long as they succeed; results go to slices of the caller.
//
// # Errors
//
// A failing call returns an [*Error] with a [Status] and a sentence. errors.Is compares with the statuses, such as
// [ErrClosed]; errors.As gives the *Error. After a failure every slice that was to be filled holds what it held before.
// A bad bid is no error: its candidate takes no part, and its [Reason] says why.
//
// # Closing
//
// Close of engines, scorers, pools and staged generations may be called again and then does nothing; every other call
// afterwards gives [ErrClosed]. An engine may be closed while others serve: calls under way end well, later ones give
// ErrClosed. What is never closed is freed after the garbage collector finds it unreachable.
//
// # Linking
//
// A static archive in the directory lib is linked, for Linux on amd64 and arm64; a program needs nothing at run time but the C
// library. It may be linked fully statically (-extldflags -static). The build tag musl takes the archive for musl (Alpine). The
// build tag adclick_shared links the installed shared library instead, found by pkg-config. Cgo is needed (CGO_ENABLED=1).
package adclick
