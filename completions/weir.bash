# SPDX-License-Identifier: MIT
# bash completion of weir-server and weir-client: the program says what may
# follow.
_weir()
{
	local line current=${COMP_WORDS[COMP_CWORD]}

	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("$1" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	# An address follows a service.
	[[ ${COMPREPLY[0]-} != *@ ]] || compopt -o nospace
}
complete -F _weir weir-server weir-client
