module first

go 1.25

require adclick.io/adclick v0.0.0

replace adclick.io/adclick => ../../../bindings/go
