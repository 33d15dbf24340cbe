//! The machine that a command line describes.

use std::time::Duration;

use qplug_sim::{Config, Guest, Image, Start, Version};

use crate::transcript::Transcript;

const MIB: u64 = 1 << 20;

/// When a guest does what its command line says.
const ACTS_AFTER: Duration = Duration::from_secs(5);

/// The images that the recorder had.
fn images() -> [(&'static str, Image); 9] {
    [
        ("/images/d.raw", Image::raw(16 * MIB)),
        ("/images/e.raw", Image::raw(8 * MIB)),
        ("/images/s.raw", Image::raw(16 * MIB)),
        ("/images/q.qcow2", Image::qcow2(32 * MIB)),
        ("/images/cd.iso", Image::raw(4 * MIB)),
        ("/images/a b.raw", Image::raw(MIB)),
        ("/images/a,b.raw", Image::raw(MIB)),
        ("/images/q\"\\x.raw", Image::raw(MIB)),
        ("/images/b.raw", Image::raw(8 * MIB)),
    ]
}

pub(crate) fn machine(transcript: &Transcript, version: Version) -> Config {
    let has = |word: &str| transcript.command_line.split(' ').any(|known| known == word);
    let mut config = Config::pc().version(version);
    // A kernel was given where a guest runs; the others were never let go.
    if has("-S") {
        config = config.start(Start::Prelaunch);
    }
    let words: Vec<&str> = transcript.command_line.split(' ').collect();
    for pair in words.windows(2) {
        config = match pair {
            ["-vga", "std"] => config.vga(),
            ["-drive", options] => config.drive(options),
            // Without a bus it goes to the last one.
            ["-device", device] if device.contains("id=idecd") => {
                config.ide_cd_with("idecd", "ide.1", "cd0")
            }
            _ => config,
        };
    }
    if has("-no-reboot") {
        config = config.no_reboot();
    }
    if has("-no-shutdown") {
        config = config.no_shutdown();
    }
    if has("action=poweroff") {
        config = config.guest(Guest::SwitchesOff(ACTS_AFTER));
    }
    // It panics to reboot.
    if has("action=reboot") || has("action=panic") {
        config = config.guest(Guest::Reboots(ACTS_AFTER));
    }
    images().into_iter().fold(config, |config, (path, image)| config.image(path, image))
}
