# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion for bash. What may follow is known by `enlite complete`; where it says nothing, file names.
_enlite() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <("${COMP_WORDS[0]}" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _enlite enlite
