# Completion for fish, made by: choria tool completion fish
# The program itself says what fits.
function __choria_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -e words[1]
    for line in ($program tool complete -- $words "$current" 2>/dev/null)
        switch $line
            case \tfiles
                __fish_complete_path "$current"
            case \tfolders
                __fish_complete_directories "$current" ''
            case '*'
                echo $line
        end
    end
end
complete -c choria -f -a '(__choria_complete)'
