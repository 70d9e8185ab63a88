# Completion for bash, made by: choria tool completion bash
# It needs nothing but bash: the program itself says what fits.
_choria() {
    local line name program=${COMP_WORDS[0]/#\~\//$HOME/} current=${COMP_WORDS[COMP_CWORD]}
    # Bash takes = for a word of its own.
    [[ $current == "=" ]] && current=
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            $'\tfiles') line=-f ;;
            $'\tfolders') line=-d ;;
            *) COMPREPLY+=("${line%%$'\t'*}"); continue ;;
        esac
        compopt -o filenames 2>/dev/null
        while IFS= read -r name; do
            COMPREPLY+=("$name")
        done < <(compgen "$line" -- "$current")
    done < <("$program" tool complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _choria choria
