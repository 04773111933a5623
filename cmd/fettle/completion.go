package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

func (completionCmd) Help() string {
	return "Prints a script that has a shell complete fettle's commands and flags with Tab; where there are none, it completes files.\n\n" + examples(
		"source <(fettle completion bash)                              for this shell; in ~/.bashrc for all",
		"fettle completion zsh > \"${fpath[1]}/_fettle\"",
		"fettle completion fish > ~/.config/fish/completions/fettle.fish",
		"fettle completion powershell | Out-String | Invoke-Expression   in $PROFILE for all",
	)
}

// Run prints the script. Each asks `fettle complete` for what may come next, so
// that a newer fettle needs no newer script.
func (c *completionCmd) Run(out io.Writer) error {
	_, err := io.WriteString(out, completionScripts()[c.Shell])
	return err
}

func completionScripts() map[string]string {
	return map[string]string{
		"bash": `_fettle() {
    local IFS=$'\n'
    COMPREPLY=($("$1" complete --word="$2" -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null))
}
complete -o default -F _fettle fettle
`,
		"zsh": `#compdef fettle
_fettle() {
    local -a found
    found=(${(f)"$("${words[1]}" complete --word="${words[CURRENT]}" -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_fettle" ]; then _fettle; else compdef _fettle fettle; fi
`,
		"fish": `function __fettle_complete
    set -l word (commandline -ct)
    set -l found (fettle complete --word="$word" -- (commandline -opc)[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path "$word"
    end
end
complete -c fettle -f -a '(__fettle_complete)'
`,
		"powershell": `Register-ArgumentCompleter -Native -CommandName fettle -ScriptBlock {
    param($word, $ast, $cursor)
    $before = @($ast.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { "$_" })
    & $ast.CommandElements[0].Value complete "--word=$word" -- @before 2>$null | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
`,
	}
}

// completeCmd answers the scripts: what may stand in the place of a word.
type completeCmd struct {
	Word   string   `help:"What has been typed of the word."`
	Before []string `arg:"" optional:"" passthrough:"" help:"The words before it."`
}

// Run prints a candidate a line; none where a file name or free text is due.
func (c *completeCmd) Run(k *kong.Kong, out io.Writer) error {
	for _, candidate := range candidates(k.Model.Node, c.Before) {
		if strings.HasPrefix(candidate, c.Word) && (c.Word != "" || !strings.HasPrefix(candidate, "-")) {
			if _, err := fmt.Fprintln(out, candidate); err != nil {
				return err
			}
		}
	}
	return nil
}

// candidates lists what may follow the words: commands, flags, and the values
// of those that take only some.
func candidates(node *kong.Node, before []string) []string {
	arguments := 0
	var open *kong.Flag // waits for its value
	for _, word := range before {
		switch {
		case word == "--" || word == "=": // the second is bash's, which parts --flag=value
			continue
		case open != nil:
			open = nil
		case strings.HasPrefix(word, "-"):
			open = valueless(node, word)
		default:
			if next := commandOf(node, word); next != nil {
				node, arguments = next, 0
			} else {
				arguments++
			}
		}
	}
	if open != nil {
		return open.EnumSlice()
	}
	var list []string
	for _, child := range node.Children {
		if !child.Hidden && arguments == 0 {
			list = append(list, child.Name)
		}
	}
	if arguments < len(node.Positional) {
		list = append(list, node.Positional[arguments].EnumSlice()...)
	}
	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			list = append(list, "--"+flag.Name)
		}
	}
	return list
}

func commandOf(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word {
			return child
		}
	}
	return nil
}

// valueless finds the flag that a word names, if its value is the next word.
func valueless(node *kong.Node, word string) *kong.Flag {
	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			named := word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short)
			if named && !flag.IsBool() {
				return flag
			}
		}
	}
	return nil
}
