//! The part of decoding that both directions share: control lines, payloads, and what is kept between two reads.

use super::{Fault, Limits, parse_size};

/// Blanks between a verb and its arguments that a line may have on top of its limit.
const BLANKS_MAX: usize = 64;

/// Words that any verb may have.
const WORDS_MAX: usize = 6;
/// Bytes of the longest verb and its line end, and some.
const VERB_BYTES_MAX: usize = 16;

/// A verb's argument rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The rest of the line is ignored.
    Bare,
    /// The rest of the line is the argument.
    Text,
    /// Like `Text`, under the larger limit; it may follow the verb without a blank.
    Json,
    /// Between `min` and `max` words, after a blank.
    Words { min: u8, max: u8 },
    /// Words whose last (`sizes: 1`) or last two (`sizes: 2`) are sizes, and a payload behind the line.
    Message { min: u8, max: u8, sizes: u8 },
    /// Like `Message`, but between the first `lead` words and the sizes any number of words may stand. They are one span
    /// behind the lead, which is empty when there are none.
    Routed { lead: u8, sizes: u8 },
}

impl Shape {
    fn has_payload(self) -> bool {
        matches!(self, Shape::Message { .. } | Shape::Routed { .. })
    }
}

/// One verb of a direction of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verb {
    pub name: &'static str,
    pub shape: Shape,
}

/// A range inside one operation's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        // An operation is at most a control line and a payload of nine digits: far below 4 GiB.
        Span { start: start as u32, end: end as u32 }
    }

    pub fn of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A control line that was understood: where its words are, and how much payload belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub verb: &'static Verb,
    pub words: [Span; WORDS_MAX],
    pub word_count: u8,
    /// Bytes of headers, of headers and payload together; both 0 for verbs without payload.
    pub header_len: usize,
    pub total_len: usize,
    /// Bytes of the line with its line end.
    pub line_len: usize,
    /// The words are one blank apart and the line ends with CR LF, so its bytes can be sent on as they are.
    pub is_canonical: bool,
}

impl Head {
    /// Bytes of the whole operation.
    pub fn frame_len(&self) -> usize {
        match self.verb.shape.has_payload() {
            true => self.line_len + self.total_len + 2,
            false => self.line_len,
        }
    }

    pub fn word<'b>(&self, index: usize, bytes: &'b [u8]) -> &'b [u8] {
        self.words.get(index).map_or(&[], |span| span.of(bytes))
    }

    /// Bytes from a word to the end of the operation.
    pub fn since_word<'b>(&self, index: usize, bytes: &'b [u8]) -> &'b [u8] {
        let start = self.words.get(index).map_or(0, |span| span.start as usize);
        bytes.get(start..self.frame_len()).unwrap_or_default()
    }

    pub fn headers<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.line_len..self.line_len + self.header_len).unwrap_or_default()
    }

    pub fn payload<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes
            .get(self.line_len + self.header_len..self.line_len + self.total_len)
            .unwrap_or_default()
    }
}

/// What is known about the operation whose bytes are being kept.
#[derive(Debug, Default)]
enum Kept {
    /// Nothing is kept.
    #[default]
    Nothing,
    /// A control line without its end.
    Line,
    /// A control line, and its payload not all there yet.
    Body(Box<Head>),
    /// A whole operation that was lent out: its bytes go at the next call.
    Spent,
}

/// An operation that is split over two reads.
#[derive(Debug, Default)]
struct Split {
    partial: Vec<u8>,
    kept: Kept,
}

/// Finds operations in a stream of reads.
#[derive(Debug)]
pub(super) struct Framer {
    verbs: &'static [Verb],
    /// Apart, because most connections are idle and have none.
    split: Option<Box<Split>>,
}

impl Framer {
    pub fn new(verbs: &'static [Verb]) -> Framer {
        Framer { verbs, split: None }
    }

    /// Bytes held for an operation that is not complete.
    pub fn kept_bytes(&self) -> usize {
        self.split.as_ref().map_or(0, |split| split.partial.len())
    }

    /// Whether the next operation begins with the next byte.
    #[inline(always)]
    pub fn keeps_nothing(&self) -> bool {
        self.split.is_none()
    }

    /// The next complete operation and its bytes; `input` moves past what was used. Nothing when more is needed, in
    /// which case all of `input` was used.
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<(Head, &'a [u8])>, Fault> {
        if self.split.is_none() {
            let bytes: &'i [u8] = input;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(head) = parse_head(self.verbs, bytes, limits)? {
                let frame_len = head.frame_len();
                if let Some((frame, rest)) = bytes.split_at_checked(frame_len) {
                    check_payload_end(&head, frame)?;
                    *input = rest;
                    return Ok(Some((head, frame)));
                }
            }
        }
        self.next_split(input, limits)
    }

    /// The same for an operation that does not lie whole in `input`.
    #[cold]
    fn next_split<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<(Head, &'a [u8])>, Fault> {
        if self.split.as_ref().is_some_and(|split| matches!(split.kept, Kept::Spent)) {
            self.split = None;
            return self.next_after_spent(input, limits);
        }
        let split = self.split.get_or_insert_default();
        loop {
            match std::mem::take(&mut split.kept) {
                Kept::Body(head) => {
                    let wanted = head.frame_len().saturating_sub(split.partial.len());
                    let taken = take(input, wanted);
                    reserve(&mut split.partial, taken.len(), head.frame_len());
                    split.partial.extend_from_slice(taken);
                    if taken.len() < wanted {
                        split.kept = Kept::Body(head);
                        return Ok(None);
                    }
                    check_payload_end(&head, &split.partial)?;
                    split.kept = Kept::Spent;
                    return Ok(Some((*head, &split.partial)));
                }
                // A spent one was dropped above.
                Kept::Nothing | Kept::Line | Kept::Spent => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let head = split.take_line(self.verbs, input, limits)?;
                    let Some(head) = head else { return Ok(None) };
                    split.kept = Kept::Body(Box::new(head));
                }
            }
        }
    }

    fn next_after_spent<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<(Head, &'a [u8])>, Fault> {
        // Recursion of depth one: nothing is kept now.
        self.next(input, limits)
    }
}

impl Split {
    /// Moves bytes up to the end of the line; its head when the end is there.
    fn take_line(
        &mut self,
        verbs: &'static [Verb],
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Head>, Fault> {
        let end = memchr::memchr(b'\n', input);
        let taken = take(input, end.map_or(input.len(), |at| at + 1));
        let arguments = limits.json_line_bytes_max.max(limits.control_line_bytes_max);
        let longest = VERB_BYTES_MAX + BLANKS_MAX + arguments;
        if self.partial.len() + taken.len() > longest {
            // Which limit it is depends on the verb; without a known verb that is the fault.
            self.partial.extend(taken.iter().take(longest.saturating_sub(self.partial.len())));
            check_partial_line(verbs, &self.partial, limits)?;
            return Err(Fault::ControlLineTooLong { bytes_max: limits.json_line_bytes_max });
        }
        self.partial.extend_from_slice(taken);
        if end.is_none() {
            check_partial_line(verbs, &self.partial, limits)?;
            self.kept = Kept::Line;
            return Ok(None);
        }
        parse_head(verbs, &self.partial, limits)
    }
}

/// Splits up to `count` bytes off the front.
fn take<'i>(input: &mut &'i [u8], count: usize) -> &'i [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

/// Room for `more` bytes: growth by doubling, but never more than the operation takes, so that a peer which announces
/// a large payload costs only what it sent.
fn reserve(partial: &mut Vec<u8>, more: usize, frame_len: usize) {
    let needed = partial.len() + more;
    if needed > partial.capacity() {
        let target = needed.max((partial.capacity() * 2).min(frame_len));
        partial.reserve_exact(target - partial.len());
    }
}

fn check_payload_end(head: &Head, frame: &[u8]) -> Result<(), Fault> {
    match head.verb.shape.has_payload() && !frame.ends_with(b"\r\n") {
        true => Err(Fault::UnknownOperation),
        false => Ok(()),
    }
}

/// The verb at the start of `bytes`: nothing when more bytes are needed to tell.
fn find_verb(verbs: &'static [Verb], bytes: &[u8]) -> Result<Option<&'static Verb>, Fault> {
    let mut possible = false;
    for verb in verbs {
        let name = verb.name.as_bytes();
        let known = name.len().min(bytes.len());
        let (Some(want), Some(have)) = (name.get(..known), bytes.get(..known)) else { continue };
        if want.eq_ignore_ascii_case(have) {
            if known == name.len() {
                return Ok(Some(verb));
            }
            possible = true;
        }
    }
    if possible { Ok(None) } else { Err(Fault::UnknownOperation) }
}

fn line_limit(verb: &Verb, limits: &Limits) -> usize {
    match verb.shape {
        Shape::Json => limits.json_line_bytes_max,
        _ => limits.control_line_bytes_max,
    }
}

/// Refuses a line without end as soon as it can only be wrong.
fn check_partial_line(verbs: &'static [Verb], bytes: &[u8], limits: &Limits) -> Result<(), Fault> {
    let Some(verb) = find_verb(verbs, bytes)? else { return Ok(()) };
    let rest = bytes.get(verb.name.len()..).unwrap_or_default();
    check_blank_after(verb, rest)?;
    check_length(verb, rest, limits)
}

/// Refuses what follows a verb when it is too long, whether the line has its end or not.
fn check_length(verb: &Verb, rest: &[u8], limits: &Limits) -> Result<(), Fault> {
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
    let bytes_max = line_limit(verb, limits);
    if rest.len() - blanks > bytes_max || rest.len() > bytes_max + BLANKS_MAX {
        return Err(Fault::ControlLineTooLong { bytes_max });
    }
    Ok(())
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Verbs with words must be followed by a blank; one with a text by a blank or nothing.
fn check_blank_after(verb: &Verb, rest: &[u8]) -> Result<(), Fault> {
    let Some(byte) = rest.first() else { return Ok(()) };
    let is_fine = match verb.shape {
        Shape::Words { .. } | Shape::Message { .. } | Shape::Routed { .. } => is_blank(*byte),
        Shape::Text => is_blank(*byte) || matches!(byte, b'\r' | b'\n'),
        Shape::Bare | Shape::Json => true,
    };
    if is_fine { Ok(()) } else { Err(Fault::UnknownOperation) }
}

/// Reads the control line at the start of `bytes`: nothing when it has no end yet.
#[inline]
fn parse_head(
    verbs: &'static [Verb],
    bytes: &[u8],
    limits: &Limits,
) -> Result<Option<Head>, Fault> {
    let Some(verb) = find_verb(verbs, bytes)? else { return Ok(None) };
    let after = verb.name.len();
    check_blank_after(verb, bytes.get(after..).unwrap_or_default())?;
    let head = match verb.shape {
        Shape::Words { .. } | Shape::Message { .. } => words(verb, bytes, after),
        Shape::Routed { lead, sizes } => {
            let Some(line) = line_of(bytes, after) else { return Ok(None) };
            check_length(verb, line, limits)?;
            let head = routed(verb, bytes, after + line.len(), lead, sizes);
            let head = head.ok_or(Fault::BadArguments { verb: verb.name })?;
            return sized(head, bytes, sizes, limits).map(Some);
        }
        Shape::Bare | Shape::Text | Shape::Json => rest_of_line(verb, bytes, after),
    };
    let Some(head) = head else { return Ok(None) };
    check_length(verb, bytes.get(after..head.line_len - 1).unwrap_or_default(), limits)?;
    match verb.shape {
        Shape::Words { min, max } | Shape::Message { min, max, .. }
            if !(min..=max).contains(&head.word_count) =>
        {
            Err(Fault::BadArguments { verb: verb.name })
        }
        Shape::Message { sizes, .. } => sized(head, bytes, sizes, limits).map(Some),
        _ => Ok(Some(head)),
    }
}

/// What stands between a verb and the end of its line: nothing when there is no end yet.
#[inline]
fn line_of(bytes: &[u8], after: usize) -> Option<&[u8]> {
    let rest = bytes.get(after..)?;
    rest.get(..memchr::memchr(b'\n', rest)?)
}

/// Splits a line into its first words, its sizes, and what is between; nothing when there are too few words. `end` is
/// the place of the LF.
#[inline]
fn routed(verb: &'static Verb, bytes: &[u8], end: usize, lead: u8, sizes: u8) -> Option<Head> {
    let line = bytes.get(..end)?;
    let is_gap = |byte: &u8| is_blank(*byte) || *byte == b'\r';
    let mut spans = [Span::default(); WORDS_MAX];
    let (lead, sizes) = (usize::from(lead), usize::from(sizes));
    let mut at = verb.name.len();
    let mut is_canonical = line.last() == Some(&b'\r');
    for span in spans.get_mut(..lead)? {
        let (start, stop) = word_from(line, at, is_gap)?;
        is_canonical &= start == at + 1;
        (*span, at) = (Span::new(start, stop), stop);
    }
    let mut back = line.strip_suffix(b"\r").map_or(end, <[u8]>::len);
    is_canonical &= back + 1 == end;
    for span in spans.get_mut(lead + 1..lead + 1 + sizes)?.iter_mut().rev() {
        let (start, stop) = word_before(line, at, back, is_gap)?;
        is_canonical &= stop == back;
        (*span, back) = (Span::new(start, stop), start.checked_sub(1)?);
    }
    let between = line.get(at..back + 1)?;
    let start = at + between.iter().take_while(|byte| is_gap(byte)).count();
    let stop = at + between.iter().rposition(|byte| !is_gap(byte)).map_or(0, |last| last + 1);
    let middle = spans.get_mut(lead)?;
    if start < stop {
        is_canonical &= start == at + 1 && stop == back;
        *middle = Span::new(start, stop);
    } else {
        is_canonical &= at == back;
        // What follows the lead begins with the sizes.
        *middle = Span::new(back + 1, back + 1);
    }
    Some(Head {
        verb,
        words: spans,
        word_count: (lead + 1 + sizes) as u8,
        header_len: 0,
        total_len: 0,
        line_len: end + 1,
        is_canonical,
    })
}

/// The first word behind `at`.
#[inline]
fn word_from(line: &[u8], at: usize, is_gap: impl Fn(&u8) -> bool) -> Option<(usize, usize)> {
    let rest = line.get(at..)?;
    let start = at + rest.iter().position(|byte| !is_gap(byte))?;
    let length = line.get(start..)?.iter().position(&is_gap)?;
    Some((start, start + length))
}

/// The last word that ends at or before `back` and begins behind `at`.
#[inline]
fn word_before(
    line: &[u8],
    at: usize,
    back: usize,
    is_gap: impl Fn(&u8) -> bool,
) -> Option<(usize, usize)> {
    let rest = line.get(at..back)?;
    let stop = rest.iter().rposition(|byte| !is_gap(byte))? + 1;
    let start = rest.get(..stop)?.iter().rposition(is_gap)? + 1;
    Some((at + start, at + stop))
}

/// The argument that is the rest of the line, without blanks around it.
fn rest_of_line(verb: &'static Verb, bytes: &[u8], after: usize) -> Option<Head> {
    let end = memchr::memchr(b'\n', bytes.get(after..)?)? + after;
    let line = bytes.get(after..end)?;
    let start = after + line.iter().take_while(|byte| is_blank(**byte)).count();
    let text = bytes.get(start..end)?.trim_ascii_end();
    let mut words = [Span::default(); WORDS_MAX];
    words[0] = Span::new(start, start + text.len());
    Some(Head {
        verb,
        words,
        word_count: u8::from(!text.is_empty()),
        header_len: 0,
        total_len: 0,
        line_len: end + 1,
        is_canonical: false,
    })
}

/// Splits a line into words in one pass.
#[inline]
fn words(verb: &'static Verb, bytes: &[u8], after: usize) -> Option<Head> {
    let mut spans = [Span::default(); WORDS_MAX];
    let mut count = 0;
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate().skip(after) {
        if *byte > b' ' {
            start.get_or_insert(at);
            continue;
        }
        let is_end = *byte == b'\n';
        if !(is_end || matches!(byte, b' ' | b'\t' | b'\r')) {
            start.get_or_insert(at);
            continue;
        }
        if let Some(from) = start.take() {
            if let Some(span) = spans.get_mut(count) {
                *span = Span::new(from, at);
            }
            count = (count + 1).min(WORDS_MAX + 1);
        }
        if is_end {
            let is_canonical = is_canonical(&spans, count, after, at, bytes);
            return Some(Head {
                verb,
                words: spans,
                word_count: count as u8,
                header_len: 0,
                total_len: 0,
                line_len: at + 1,
                is_canonical,
            });
        }
    }
    None
}

fn is_canonical(
    spans: &[Span; WORDS_MAX],
    count: usize,
    after: usize,
    end: usize,
    bytes: &[u8],
) -> bool {
    let mut expected = after + 1;
    for span in spans.iter().take(count) {
        if span.start as usize != expected {
            return false;
        }
        expected = span.end as usize + 1;
    }
    expected == end && bytes.get(end.wrapping_sub(1)) == Some(&b'\r')
}

/// Reads the size words at the end of a message's line.
#[inline]
fn sized(mut head: Head, bytes: &[u8], sizes: u8, limits: &Limits) -> Result<Head, Fault> {
    let fault = || Fault::BadArguments { verb: head.verb.name };
    let last = usize::from(head.word_count) - 1;
    let total = parse_size(head.word(last, bytes)).ok_or_else(fault)?;
    let header = match sizes {
        2 => parse_size(head.word(last - 1, bytes)).ok_or_else(fault)?,
        _ => 0,
    };
    if header > total {
        return Err(fault());
    }
    if total > limits.payload_bytes_max {
        return Err(Fault::PayloadTooLarge { bytes: total, bytes_max: limits.payload_bytes_max });
    }
    head.header_len = header;
    head.total_len = total;
    head.word_count -= sizes;
    Ok(head)
}
