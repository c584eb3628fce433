module adserver

go 1.25

require (
	github.com/prebid/openrtb/v20 v20.3.0
	libadclick/bindings/go v0.0.0
)

replace libadclick/bindings/go => ../../../bindings/go
