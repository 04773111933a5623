package influx

import (
	"strings"

	"fettle"
	"fettle/internal/codec"
)

// AnomalyMeasurement is what the old system wrote anomaly records under.
const AnomalyMeasurement = "anomaly_detections"

// appendAnomaly appends an anomaly record as the old system wrote it: all its
// tags and fields by their names. Its time is that of the newest reading judged,
// where the old system had the time of writing: so a record written twice is one.
func appendAnomaly(dst []byte, a fettle.Anomaly) []byte {
	dst = append(dst, AnomalyMeasurement...)
	dst = codec.AppendLineTag(dst, "workspace_id", a.Machine)
	dst = codec.AppendLineTag(dst, "anomaly_type", a.Type)
	dst = codec.AppendLineTag(dst, "severity_level", a.Severity)
	dst = codec.AppendLineFloat(append(dst, ' '), "severity_score", a.Score)
	dst = codec.AppendLineText(append(dst, ','), "alert_message", oneLine(a.Message))
	dst = codec.AppendLineText(append(dst, ','), "affected_features", oneLine(strings.Join(a.Affected, ",")))
	for _, s := range a.Sensors {
		dst = codec.AppendLineFloat(append(dst, ','), "actual_"+s.Sensor, s.Actual)
		dst = codec.AppendLineFloat(append(dst, ','), "predicted_"+s.Sensor, s.Predicted)
		if s.AtRisk {
			dst = codec.AppendLineFloat(append(dst, ','), "deviation_"+s.Sensor, s.Deviation)
			dst = codec.AppendLineFloat(append(dst, ','), "deviation_pct_"+s.Sensor, s.DeviationPercent)
		}
	}
	return codec.AppendLineTime(dst, a.Time)
}

// oneLine keeps a text within its line, so that a batch can be cut at newlines.
func oneLine(text string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(text) }
