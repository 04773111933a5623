package plant

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// sensorType is what the first generator said about every machine.
const sensorType = "industrial"

// oldTime is how the old senders wrote a time: UTC, always six digits.
const oldTime = "2006-01-02T15:04:05.000000Z"

// timedPayload is the later generator's JSON, byte for byte as Python's
// json.dumps writes it:
//
//	{"workspace_id": "lathe-1-spindle", "timestamp": "2025-11-24T09:31:54.123456Z", "current": 12.6, …}
func timedPayload(name string, at time.Time, v sixValues) []byte {
	b := make([]byte, 0, 192)
	b = append(b, `{"workspace_id": `...)
	b = appendText(b, name)
	b = append(b, `, "timestamp": "`...)
	b = at.UTC().AppendFormat(b, oldTime)
	b = append(b, '"')
	return append(appendSix(b, v), '}')
}

// untimedPayload is the first generator's JSON.
func untimedPayload(name string, v sixValues) []byte {
	b := make([]byte, 0, 192)
	b = append(b, `{"workspace_id": `...)
	b = appendText(b, name)
	b = append(b, `, "sensor_type": "`+sensorType+`"`...)
	return append(appendSix(b, v), '}')
}

func appendSix(b []byte, v sixValues) []byte {
	for i, sensor := range sensors {
		b = append(b, `, "`...)
		b = append(b, sensor...)
		b = append(b, `": `...)
		b = appendPython(b, v[i])
	}
	return b
}

// appendPython writes a number as Python does: 45.0, not 45.
func appendPython(b []byte, x float64) []byte {
	from := len(b)
	b = strconv.AppendFloat(b, x, 'f', -1, 64)
	if !strings.Contains(string(b[from:]), ".") {
		b = append(b, ".0"...)
	}
	return b
}

// readingPayload is the flat message of a recording's row.
func readingPayload(r fettle.Reading) []byte {
	b := make([]byte, 0, 64+24*len(r.Values))
	b = append(b, `{"machine":`...)
	b = appendText(b, r.Machine)
	b = append(b, `,"timestamp":"`...)
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for _, v := range r.Values {
		b = append(b, ',')
		b = appendText(b, v.Sensor)
		b = append(b, ':')
		b = strconv.AppendFloat(b, v.Value, 'g', -1, 64)
	}
	return append(b, '}')
}

// appendText writes s as a JSON string.
func appendText(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a string that is no JSON: " + err.Error())
	}
	return append(b, text...)
}
