//! Giving back memory that only the start of a process needed.

use std::fs;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Lets go of the program's own code in memory. What is executed again comes back by itself, from the file; most of a program
/// is not, once it has started. Does nothing where the system does not tell where the code is.
pub fn release_code() {
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(program) = program.to_str().filter(|path| !path.is_empty()) else { return };
    for range in code_in(&maps, program) {
        let start = std::ptr::without_provenance_mut::<u8>(range.start);
        // Safety: these pages are private, were never writable and come from a file, so that what is read from them afterwards
        // is what was there before.
        #[allow(unsafe_code)]
        let _ = unsafe { madvise(start.cast(), range.len(), Advice::LinuxDontNeed) };
    }
}

/// Where code of the file `program` is: `START-END r-xp OFFSET DEVICE INODE PATH`.
fn code_in<'m>(maps: &'m str, program: &'m str) -> impl Iterator<Item = Range<usize>> + 'm {
    maps.lines().filter_map(move |line| {
        let (addresses, rest) = line.split_once(' ')?;
        let (_, path) = rest.strip_prefix("r-xp ")?.split_once('/')?;
        let (start, end) = addresses.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (path == program.strip_prefix('/')?).then_some(address(start)?..address(end)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_meant() {
        let maps = "7f00-7f10 r--p 00000000 fe:00 997 /bin/choria\n7f10-7f90 r-xp 00010000 fe:00 997 /bin/choria\n\
                    7f90-7fa0 rw-p 00090000 fe:00 997 /bin/choria\n8000-8100 r-xp 00000000 fe:00 12 /lib/libc.so.6\n\
                    9000-9100 rw-p 00000000 00:00 0\na000-a100 r-xp 00000000 00:00 0 [vdso]\nbroken\n";
        let mut found = code_in(maps, "/bin/choria");
        assert_eq!((found.next(), found.next()), (Some(0x7f10..0x7f90), None));
        assert_eq!(code_in(maps, "/bin/other").count(), 0);
    }

    #[test]
    fn the_program_goes_on_without_its_code_in_memory() {
        release_code();
        let text = format!("{:?}", std::collections::BTreeMap::from([(1, "one")]));
        assert_eq!(text, "{1: \"one\"}");
    }
}
