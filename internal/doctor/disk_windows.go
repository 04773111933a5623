package doctor

import "golang.org/x/sys/windows"

// freeBytes is what the disk of a folder still holds for us.
func freeBytes(dir string) (free int64, known bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var ours uint64
	if err := windows.GetDiskFreeSpaceEx(path, &ours, nil, nil); err != nil {
		return 0, false
	}
	return int64(ours), true
}
