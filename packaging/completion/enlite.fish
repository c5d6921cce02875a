# SPDX-License-Identifier: MIT
# Completion for fish. What may follow is known by `enlite complete`; where it says nothing, file names.
function __enlite_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete $words[2..-1] 2>/dev/null
end
complete -c enlite -a '(__enlite_complete)'
