# SPDX-License-Identifier: MIT
# fish completion of weir-server and weir-client: the program says what may
# follow.
function __weir_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null | while read -l line
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c weir-server -f -a '(__weir_complete)'
complete -c weir-client -f -a '(__weir_complete)'
