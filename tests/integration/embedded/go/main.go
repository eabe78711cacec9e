package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var code = regexp.MustCompile(`Code: \d+`)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Reads as a person would, with the driver's compression; the argument is host:port.
func main() {
	db := clickhouse.OpenDB(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{os.Args[1]},
		Auth:        clickhouse.Auth{Database: "funding", Username: "default"},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	defer db.Close()
	ctx := context.Background()
	check(db.PingContext(ctx))

	var tables uint64
	check(db.QueryRow("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'rates'").Scan(&tables))
	fmt.Println("tables", tables)

	var at time.Time
	var missing *string
	var word string
	var number float64
	query := `SELECT toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC'), CAST(NULL, 'Nullable(String)'),
		toLowCardinality({word:String}), {number:Float64}`
	check(db.QueryRow(query, clickhouse.Named("word", "it's"), clickhouse.Named("number", "0.30000000000000004")).
		Scan(&at, &missing, &word, &number))
	fmt.Println("typed", at.UTC().Format(time.RFC3339Nano), missing == nil, word, number == 0.30000000000000004)

	rows, err := db.Query("SELECT number FROM numbers(300000)")
	check(err)
	var sum, value uint64
	for rows.Next() {
		check(rows.Scan(&value))
		sum += value
	}
	check(rows.Err())
	fmt.Println("sum", sum)

	for _, statement := range []string{"SELECT * FROM no_such_table", "CREATE TABLE default.n (a Int8) ENGINE = Memory"} {
		// Exec of this version asks for no compression and then unpacks the error: Query does not.
		_, err := db.Query(statement)
		fmt.Println("refused", code.FindString(fmt.Sprint(err)))
	}
}
