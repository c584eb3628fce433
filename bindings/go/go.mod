module adclick.io/adclick

go 1.25
