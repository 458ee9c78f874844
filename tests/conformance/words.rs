//! Lines of a script as words.

/// A step: its words and fields, and the failure it asks for.
#[derive(Debug, Default)]
pub struct Step {
    pub words: Vec<Vec<u8>>,
    pub fields: Vec<(String, Vec<u8>)>,
    pub code: Option<String>,
    pub index: Option<usize>,
}

/// Takes a line apart; `None` for a comment.
pub fn step(line: &str) -> Result<Option<Step>, String> {
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let mut step = Step::default();
    let mut rest = line.as_bytes();
    let mut failing = false;
    loop {
        while let [b' ', others @ ..] = rest {
            rest = others;
        }
        if rest.is_empty() {
            return Ok(Some(step));
        }
        let mut word = Vec::new();
        let mut name = None;
        let mut quoted = false;
        while let [byte, others @ ..] = rest
            && *byte != b' '
        {
            rest = others;
            match byte {
                b'"' => {
                    let (text, others) = quote(rest)?;
                    word.extend(text);
                    rest = others;
                    quoted = true;
                }
                b'=' if name.is_none() && !quoted => name = Some(std::mem::take(&mut word)),
                other => word.push(*other),
            }
        }
        let bare = String::from_utf8_lossy(&word).into_owned();
        match name {
            Some(name) => step.fields.push((String::from_utf8_lossy(&name).into_owned(), word)),
            None if failing && step.code.is_none() => step.code = Some(bare),
            None if failing => step.index = bare.parse().ok(),
            None if bare == "!" && !quoted => failing = true,
            None => step.words.push(word),
        }
    }
}

/// A text from behind its first quote, repeated as often as asked, and what follows.
fn quote(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut text = Vec::new();
    loop {
        let (&byte, others) = rest.split_first().ok_or("a quote is not closed")?;
        rest = others;
        match byte {
            b'"' => break,
            b'\\' => {
                let (&escaped, others) = rest.split_first().ok_or("a quote is not closed")?;
                rest = others;
                match escaped {
                    b'n' => text.push(b'\n'),
                    b'0' => text.push(0),
                    b'x' => {
                        let digits = rest.get(..2).ok_or("\\x needs two digits")?;
                        let digits = std::str::from_utf8(digits).map_err(|e| e.to_string())?;
                        text.push(u8::from_str_radix(digits, 16).map_err(|e| e.to_string())?);
                        rest = &rest[2..];
                    }
                    other => text.push(other),
                }
            }
            other => text.push(other),
        }
    }
    if let [b'*', others @ ..] = rest {
        let end = others.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(others.len());
        let count = std::str::from_utf8(&others[..end]).map_err(|e| e.to_string())?;
        text = text.repeat(count.parse().map_err(|_| "no number after *")?);
        rest = &others[end..];
    }
    Ok((text, rest))
}
