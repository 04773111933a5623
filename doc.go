// Package fettle holds the words of the plant: the vocabulary that every room
// of the program speaks, and nothing else. It does no I/O and imports only the
// standard library.
//
// fettle keeps machines in good condition. Sensors publish readings over MQTT;
// fettle makes them durable, cuts them into windows, forecasts each machine
// with its champion model, judges every reading, turns lasting trouble into
// alarms, tells people, and shows it all through an HTTP API and a page.
//
// The floor plan, in the order in which a reading walks through it. Imports go
// down this list only, never up:
//
//	fettle             the words (this package)
//	patchtst           the PatchTST transformer, a library of its own
//	internal/codec     bytes <-> Reading
//	internal/config    one struct, decoded strictly, checked once
//	internal/db        the door to the embedded key-value store
//	internal/days      closed days as Parquet files that anybody's tools can read
//	internal/plant     simulated machines, and recordings played back
//	internal/readings  every reading of every machine
//	internal/model     the folder of model versions
//	internal/events    the one numbered event log
//	internal/broker    the embedded MQTT broker
//	internal/bridge    the client side of MQTT
//	internal/ingest    the only gate: validate, order, commit, acknowledge
//	internal/influx    the InfluxDB next door: a mirror into it, a follower of it
//	internal/backup    a data folder copied while it is in use, and back
//	internal/forecast  windows, forecasters, bands
//	internal/verdict   the one-step residual score and the min..max rule
//	internal/alarm     raise, acknowledge, clear
//	internal/notify    tell people by e-mail and webhook
//	internal/train     from readings to a model that has earned its place
//	internal/api       REST, the old routes, keys, listener rules
//	internal/web       the page
//	internal/app       app.go is life, pipeline.go is the whole flow
//	cmd/fettle         one file a subcommand
//
// Read this file, then internal/app/pipeline.go.
package fettle
