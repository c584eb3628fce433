module first

go 1.25

require libadclick/bindings/go v0.0.0

replace libadclick/bindings/go => ../../../bindings/go
