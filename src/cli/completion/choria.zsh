#compdef choria
# Completion for zsh, made by: choria tool completion zsh
# The program itself says what fits.
_choria() {
    local line program=${(Q)words[1]}
    local -a lines fitting
    program=${program/#\~\//$HOME/}
    lines=("${(@f)$("$program" tool complete -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    for line in $lines; do
        case $line in
            $'\tfiles') _files ;;
            $'\tfolders') _files -/ ;;
            *) fitting+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    # Options are only offered as such behind a dash, unless a style says otherwise.
    (( $#fitting )) && if [[ $PREFIX == -* ]]; then
        _describe -o choria fitting
    else
        _describe choria fitting
    fi
}
# As a file of its own it is run for the first completion; in a script it is only made known.
if [[ ${funcstack[1]} == _choria ]]; then
    _choria "$@"
else
    compdef _choria choria
fi
