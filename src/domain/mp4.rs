//! How long an MP4 or a `QuickTime` file plays, read from its `mvhd` box.
//!
//! A file is a row of boxes, each with its size and its name. [`Search`] says what it wants to read
//! next and is given that, so a long file is never read as a whole, wherever it is stored.

/// How much is read at a time: the longest head of a box and all of `mvhd` that matters.
pub const READ_BYTES: u64 = 48;

/// How many boxes are looked at before the search is given up.
const BOXES_MAX: u32 = 64;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read [`READ_BYTES`], or up to the end, from here on.
    Read(u64),
    /// The file says that it plays so many milliseconds, or nothing about it.
    Found(Option<u64>),
}

/// A search for the duration of a file.
#[derive(Clone, Debug)]
pub struct Search {
    at: u64,
    end: u64,
    is_in_movie: bool,
    boxes: u32,
}

impl Search {
    /// In a file of `size` bytes. The first thing it wants to read is at 0.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { at: 0, end: size, is_in_movie: false, boxes: 0 }
    }

    /// Goes on with what is at the place it wanted to read.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        self.boxes += 1;
        match Head::read(bytes, self.end.saturating_sub(self.at)) {
            Some(head) if self.boxes <= BOXES_MAX => self.enter_or_skip(&head, bytes),
            _ => Step::Found(None),
        }
    }

    fn enter_or_skip(&mut self, head: &Head, bytes: &[u8]) -> Step {
        match &head.name {
            b"mvhd" if self.is_in_movie => {
                Step::Found(bytes.get(head.length..).and_then(duration_ms))
            }
            b"moov" if !self.is_in_movie => {
                self.is_in_movie = true;
                self.end = self.at.saturating_add(head.size);
                self.at += u64::try_from(head.length).expect("a head is short");
                Step::Read(self.at)
            }
            _ => {
                self.at = self.at.saturating_add(head.size);
                if self.at < self.end { Step::Read(self.at) } else { Step::Found(None) }
            }
        }
    }
}

/// The head of a box.
struct Head {
    name: [u8; 4],
    /// Of the head alone.
    length: usize,
    /// Of all of it.
    size: u64,
}

impl Head {
    /// `None`: this is no box, or one that does not end where it should.
    fn read(bytes: &[u8], left: u64) -> Option<Self> {
        let name = *bytes.get(4..)?.first_chunk()?;
        let (length, size) = match number32(bytes)? {
            // Up to the end.
            0 => (8, left),
            1 => (16, number64(bytes.get(8..)?)?),
            size => (8, u64::from(size)),
        };
        (size >= u64::try_from(length).ok()? && size <= left).then_some(Self { name, length, size })
    }
}

/// What `mvhd` says after its head.
fn duration_ms(bytes: &[u8]) -> Option<u64> {
    let (scale, duration, unknown) = match bytes.first()? {
        0 => {
            let duration = number32(bytes.get(16..)?)?;
            (number32(bytes.get(12..)?)?, u64::from(duration), u64::from(u32::MAX))
        }
        1 => (number32(bytes.get(20..)?)?, number64(bytes.get(24..)?)?, u64::MAX),
        _ => return None,
    };
    let ms = (u128::from(duration) * 1_000).checked_div(u128::from(scale))?;
    // Nothing, or all ones: the writer did not know.
    u64::try_from(ms).ok().filter(|&ms| ms > 0 && duration != unknown)
}

fn number32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn number64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_box(name: &str, content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + content.len()).unwrap();
        [&size.to_be_bytes()[..], name.as_bytes(), content].concat()
    }

    /// A `mvhd` of version 0.
    fn mvhd(scale: u32, duration: u32) -> Vec<u8> {
        let numbers = [0, 0, 0, scale, duration].map(u32::to_be_bytes).concat();
        a_box("mvhd", &[&numbers[..], &[0; 80]].concat())
    }

    fn search(file: &[u8]) -> Option<u64> {
        let mut search = Search::new(u64::try_from(file.len()).unwrap());
        let mut at = 0;
        for _ in 0..=BOXES_MAX {
            let rest = &file[usize::try_from(at).unwrap()..];
            match search.step(&rest[..rest.len().min(usize::try_from(READ_BYTES).unwrap())]) {
                Step::Read(next) => at = next,
                Step::Found(found) => return found,
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn the_duration_is_found_at_either_end() {
        let (ftyp, mdat) = (a_box("ftyp", b"isom\0\0\0\0"), a_box("mdat", &[7; 500]));
        let moov = a_box("moov", &[mvhd(600, 90_300), a_box("trak", &[0; 90])].concat());
        assert_eq!(search(&[&ftyp[..], &moov, &mdat].concat()), Some(150_500));
        assert_eq!(search(&[&ftyp[..], &mdat, &moov].concat()), Some(150_500));
        let late = a_box("moov", &[a_box("udta", &[0; 9]), mvhd(1_000, 1)].concat());
        assert_eq!(search(&[&ftyp[..], &late].concat()), Some(1));
    }

    /// A `mvhd` of version 1.
    fn long_mvhd(scale: u32, duration: u64) -> Vec<u8> {
        let numbers = [&[1, 0, 0, 0][..], &[0; 16], &scale.to_be_bytes()].concat();
        a_box("mvhd", &[&numbers[..], &duration.to_be_bytes(), &[0; 80]].concat())
    }

    #[test]
    fn long_sizes_and_long_durations_are_read() {
        let moov = a_box("moov", &long_mvhd(1_000, 1 << 33));
        let mdat = [&1_u32.to_be_bytes()[..], b"mdat", &20_u64.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(search(&[&mdat[..], &moov].concat()), Some(1 << 33));
        let no_end_in_32_bits = a_box("moov", &long_mvhd(1_000, u64::from(u32::MAX)));
        assert_eq!(search(&no_end_in_32_bits), Some(u64::from(u32::MAX)));
        let open = [&[0; 4][..], b"moov", &mvhd(10, 5)].concat();
        assert_eq!(search(&open), Some(500));
    }

    #[test]
    fn what_says_nothing_has_no_duration() {
        let whole = a_box("moov", &mvhd(600, 90_300));
        for (what, file) in [
            ("nothing", vec![]),
            ("no movie", a_box("mdat", &[0; 9])),
            ("no header", a_box("moov", &a_box("trak", &[0; 9]))),
            ("a header elsewhere", mvhd(600, 90_300)),
            ("no scale", a_box("moov", &mvhd(0, 5))),
            ("no time", a_box("moov", &mvhd(600, 0))),
            ("not known", a_box("moov", &mvhd(600, u32::MAX))),
            ("not known, and long", a_box("moov", &long_mvhd(1_000, u64::MAX))),
            ("a size too small", [&7_u32.to_be_bytes()[..], b"moov", &[0; 90]].concat()),
            ("too many boxes", [a_box("free", &[]).repeat(64), whole.clone()].concat()),
            ("cut off", whole[..30].to_vec()),
        ] {
            assert_eq!(search(&file), None, "{what}");
        }
    }

    proptest! {
        /// Any bytes at all: the search ends, and stays within the file.
        #[test]
        fn a_search_always_ends(file in prop::collection::vec(any::<u8>(), 0..400)) {
            search(&file);
        }
    }
}
