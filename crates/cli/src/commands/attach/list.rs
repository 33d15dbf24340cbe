//! A list of disks in a file: TOML or JSON, `[[disk]]` tables with the words of the command line.

use std::path::Path;

use serde::Deserialize;

use crate::args::DiskWords;
use crate::failure::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    disk: Vec<DiskWords>,
}

/// Reads a list. Which of the two it is, the extension says, else the first character.
pub(super) fn read(path: &Path) -> Result<Vec<DiskWords>, Failure> {
    let refused = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let is_json = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    let disks = parse(&text, is_json).map_err(refused)?;
    match disks.is_empty() {
        true => Err(refused("it lists no disk".to_owned())),
        false => Ok(disks),
    }
}

fn parse(text: &str, is_json: bool) -> Result<Vec<DiskWords>, String> {
    let list: List = match is_json {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => toml::from_str(text).map_err(|error| error.to_string())?,
    };
    for (number, disk) in list.disk.iter().enumerate() {
        if disk.image.is_none() && disk.fd.is_none() {
            return Err(format!("disk {} of the list has no image", number + 1));
        }
    }
    Ok(list.disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_the_same() {
        let toml = parse(
            "[[disk]]\nimage = 'a.img'\nserial = 7\nread-only = true\nwrite-cache = false\n\
             throttle = 'iops-total=1,bps-read=2M'\nlogical-block-size = '4K'\nset = ['device.x=1']\n\
             [[disk]]\nimage = 'b.img'\nwwn = '0x5'\n",
            false,
        );
        let json = parse(
            r#"{"disk": [{"image": "a.img", "serial": "7", "read-only": true, "write-cache": "off",
                "throttle": ["iops-total=1,bps-read=2M"], "logical-block-size": 4096, "set": "device.x=1"},
                {"image": "b.img", "wwn": "5"}]}"#,
            true,
        );
        assert_eq!(toml, json);
        let disks = toml.unwrap();
        assert_eq!(disks[0].logical_block_size, Some(4096));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, is_json, parts) in [
            ("[[disk]]\nimage = 'a'\nspeed = 1\n", false, ["line 3", "speed"]),
            ("[[disk]]\nimage = 'a'\ncache = 'fast'\n", false, ["line 3", "fast"]),
            ("[[disk]]\nname = 'a'\n", false, ["disk 1", "no image"]),
            ("{\"disk\": [\n{\"image\": \"a\", \"speed\": 1}]}", true, ["line 2", "speed"]),
            ("{\"disks\": []}", true, ["line 1", "disks"]),
        ] {
            let error = parse(text, is_json).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }
}
