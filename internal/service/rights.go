package service

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// folderRights is who may do what in a folder of a Windows service, in the
// language of security descriptors: SYSTEM and administrators everything, the
// service changes what is in it (0x1301bf: modify), and nobody else anything,
// whatever the folder above says (P). It counts for what is made below too.
func folderRights(service string) string {
	return fmt.Sprintf("D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;%s)", serviceSID(service))
}

// serviceSID is the identity of a service, which Windows makes of its name: five
// numbers that are the SHA-1 of the name in capitals and UTF-16.
func serviceSID(service string) string {
	var text []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(service))) {
		text = binary.LittleEndian.AppendUint16(text, unit)
	}
	sid, sum := "S-1-5-80", sha1.Sum(text)
	for i := 0; i < len(sum); i += 4 {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(sum[i:]))
	}
	return sid
}
