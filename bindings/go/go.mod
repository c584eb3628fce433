module libadclick/bindings/go

go 1.25
