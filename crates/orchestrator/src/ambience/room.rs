//! How rooms are made: air, voices that say nothing, cups and keys, of noise and resonators. Nobody was recorded.

use std::{f32::consts::TAU, sync::OnceLock};

use bolo_agent::Room;

/// Of the loops, Hz: a telephone carries no more.
pub(super) const RATE: u32 = 8000;
const HZ: f32 = RATE as f32;
const LOOP_S: f32 = 12.0;
/// The loop's end is faded into its beginning over this long.
const FADE_S: f32 = 1.0;
/// 20 dB below speech of -20 dB of full scale.
const LEVEL: f32 = 328.0;

/// A room's loop, made when it is first asked for.
pub(super) fn sound(room: Room) -> &'static [i16] {
    static COFFEE_SHOP: OnceLock<Vec<i16>> = OnceLock::new();
    static OFFICE: OnceLock<Vec<i16>> = OnceLock::new();
    static CALL_CENTER: OnceLock<Vec<i16>> = OnceLock::new();
    let made = match room {
        Room::CoffeeShop => &COFFEE_SHOP,
        Room::Office => &OFFICE,
        Room::CallCenter => &CALL_CENTER,
    };
    made.get_or_init(|| make(room))
}

fn make(room: Room) -> Vec<i16> {
    let mut canvas = Canvas {
        dice: Dice(0x2545_f491),
        sound: vec![0.0; samples(LOOP_S + FADE_S)],
    };
    match room {
        Room::CoffeeShop => {
            canvas.air(0.5);
            (0..7).for_each(|_| canvas.voice(0.8));
            (0..14).for_each(|_| canvas.cup());
        }
        Room::Office => {
            canvas.air(1.0);
            (0..2).for_each(|_| canvas.voice(0.4));
            (0..9).for_each(|_| canvas.typing());
        }
        Room::CallCenter => {
            canvas.air(0.4);
            (0..12).for_each(|_| canvas.voice(1.0));
            (0..3).for_each(|_| canvas.typing());
        }
    }
    canvas.finished()
}

fn samples(seconds: f32) -> usize {
    (seconds * HZ) as usize
}

/// Chance that is the same in every process: xorshift.
struct Dice(u32);

impl Dice {
    /// 0 to 1.
    fn roll(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as f32 / 16_777_216.0
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.roll()
    }

    fn noise(&mut self) -> f32 {
        self.between(-1.0, 1.0)
    }
}

/// A mouth's resonance: two poles.
#[derive(Default)]
struct Resonator {
    near: f32,
    far: f32,
    before: [f32; 2],
}

impl Resonator {
    fn tune(&mut self, hz: f32, width: f32) {
        let radius = (-TAU / 2.0 * width / HZ).exp();
        self.near = 2.0 * radius * (TAU * hz / HZ).cos();
        self.far = -radius * radius;
    }

    fn step(&mut self, source: f32) -> f32 {
        let [last, other] = self.before;
        let sounds = source + self.near * last + self.far * other;
        self.before = [sounds, last];
        sounds
    }
}

struct Canvas {
    dice: Dice,
    sound: Vec<f32>,
}

impl Canvas {
    /// What a building breathes: noise without its heights.
    fn air(&mut self, level: f32) {
        let mut low = 0.0;
        for place in &mut self.sound {
            low += (self.dice.noise() - low) * 0.12;
            *place += level * low;
        }
    }

    /// Somebody far away: syllables of changing vowels, with pauses.
    fn voice(&mut self, level: f32) {
        let pitch = self.dice.between(90.0, 220.0);
        let (mut throat, mut mouth) = (Resonator::default(), Resonator::default());
        let (mut rest, mut phase, mut tone) = (0, 0.0, pitch);
        let (mut loud, mut wanted) = (0.0, 0.0);
        for place in &mut self.sound {
            if rest == 0 {
                rest = samples(self.dice.between(0.1, 0.3));
                let speaks = self.dice.roll() < 0.75;
                wanted = if speaks {
                    self.dice.between(0.3, 1.0)
                } else {
                    0.0
                };
                tone = pitch * self.dice.between(0.85, 1.2);
                throat.tune(self.dice.between(300.0, 800.0), 90.0);
                mouth.tune(self.dice.between(900.0, 2300.0), 160.0);
            }
            rest -= 1;
            loud += (wanted - loud) * 0.003;
            phase += tone / HZ;
            let mut source = 0.03 * self.dice.noise();
            if phase >= 1.0 {
                phase -= 1.0;
                source += 1.0;
            }
            *place += level * loud * (throat.step(source) + 0.5 * mouth.step(source)) * 0.12;
        }
    }

    /// China on china: two tones that die away.
    fn cup(&mut self) {
        let (first, second) = (
            self.dice.between(1800.0, 2600.0),
            self.dice.between(2700.0, 3600.0),
        );
        let level = self.dice.between(0.1, 0.4);
        self.strike(samples(0.2), |at, _| {
            let seconds = at as f32 / HZ;
            let tones = (TAU * first * seconds).sin() + (TAU * second * seconds).sin();
            level * tones * (-seconds / 0.03).exp()
        });
    }

    /// Keys, one after another: short noise.
    fn typing(&mut self) {
        let (keys, level) = (self.dice.between(6.0, 14.0), self.dice.between(0.2, 0.5));
        let every = samples(self.dice.between(0.11, 0.19));
        self.strike(every * keys as usize, |at, dice| {
            let since = (at % every) as f32 / HZ;
            level * dice.noise() * (-since / 0.004).exp()
        });
    }

    /// Lays a sound of this length down somewhere.
    fn strike(&mut self, length: usize, sound: impl Fn(usize, &mut Dice) -> f32) {
        let room = self.sound.len().saturating_sub(length);
        let start = (self.dice.roll() * room as f32) as usize;
        for (at, place) in self.sound.iter_mut().skip(start).take(length).enumerate() {
            *place += sound(at, &mut self.dice);
        }
    }

    /// Takes away the depths that no telephone lets through.
    fn line(&mut self) {
        let (mut before, mut passed) = (0.0, 0.0);
        for sample in &mut self.sound {
            passed = *sample - before + 0.85 * passed;
            before = *sample;
            *sample = passed;
        }
    }

    /// The loop: its end faded into its beginning, and as loud as it shall be.
    fn finished(mut self) -> Vec<i16> {
        self.line();
        let (length, fade) = (samples(LOOP_S), samples(FADE_S));
        for at in 0..fade {
            // Strangers to each other: their powers add up, not they themselves.
            let new = at as f32 / fade as f32;
            self.sound[at] =
                self.sound[at] * new.sqrt() + self.sound[length + at] * (1.0 - new).sqrt();
        }
        self.sound.truncate(length);
        let power: f32 = self.sound.iter().map(|sample| sample * sample).sum();
        let gain = LEVEL / (power / length as f32).sqrt();
        // A float beyond them becomes the nearest i16.
        let samples = self.sound.iter().map(|sample| (sample * gain) as i16);
        samples.collect()
    }
}
