package fettle

// A SettingChange is one setting that is not what it was.
type SettingChange struct {
	Setting string `json:"setting"`
	Old     string `json:"old" doc:"As it would stand in the file; secrets are hidden"`
	New     string `json:"new"`
	Live    bool   `json:"live" doc:"In force at once; else after a restart"`
}

// A SettingsChange tells of a configuration file that a running server has
// looked at anew.
type SettingsChange struct {
	File    string          `json:"file"`
	Changes []SettingChange `json:"changes" doc:"What is different from when it was last read"`
	Error   string          `json:"error,omitempty" doc:"Why nothing has changed: the file is wrong"`
}
