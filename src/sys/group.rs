//! Groups of users, as `/etc/group` has them: those of a directory service are not asked for, which
//! a static program cannot do.

use std::io;

const FILE: &str = "/etc/group";

/// The number of the group, nothing when there is none of that name.
///
/// # Errors
/// When the file of groups cannot be read.
pub fn group_number(name: &str) -> io::Result<Option<u32>> {
    Ok(number_in(&String::from_utf8_lossy(&std::fs::read(FILE)?), name))
}

/// `name:password:number:members`
fn number_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        fields.nth(1).filter(|_| is_it)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\nadm:x:4:syslog,a\nbroken\nodd:x:y:\n";
        for (name, number) in [("root", Some(0)), ("adm", Some(4)), ("ad", None), ("odd", None)] {
            assert_eq!(number_in(text, name), number, "{name}");
        }
        assert_eq!(group_number("root").unwrap(), Some(0));
    }
}
