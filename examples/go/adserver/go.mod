module adserver

go 1.25

require (
	github.com/prebid/openrtb/v20 v20.3.0
	adclick.io/adclick v0.0.0
)

replace adclick.io/adclick => ../../../bindings/go
