use super::*;

fn frame_of(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut bytes = bytes;
    smol::block_on(read_frame(&mut bytes))
}

#[test]
fn frames_are_bounded() {
    let mut large = 100_000_i32.to_be_bytes().to_vec();
    large.extend(std::iter::repeat_n(7, 100_000));
    assert_eq!(frame_of(&large).expect("complete").len(), 100_000);
    for length in [-1, 0, 3, i32::MAX, i32::MIN, ANSWER_BYTES_MAX as i32 + 1] {
        let got = frame_of(&length.to_be_bytes());
        assert!(matches!(got, Err(Fault::Large(_))), "{length}: {got:?}");
    }
    // What was announced and never comes costs nothing.
    let got = frame_of(&(ANSWER_BYTES_MAX as i32).to_be_bytes());
    assert!(matches!(got, Err(Fault::Io(_))), "{got:?}");
    // A web server answers in text.
    assert!(matches!(frame_of(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Err(Fault::Large(_))));
}
