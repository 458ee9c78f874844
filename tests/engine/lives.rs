//! One more life of a store that was kept as an image, ended at every operation and by every call that fails; each time
//! a check finds behind it what the life was told.

use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Result, Store};

/// A store that is there already, what was told of it, how it goes on, and what must be found behind that.
pub struct Life<T> {
    pub name: &'static str,
    pub image: ModelDisk,
    pub told: T,
    pub open: fn(&ModelDisk) -> Result<Store>,
    pub go_on: fn(&ModelDisk, &mut T) -> Result<()>,
    /// How many look-ups told damage.
    pub check: fn(&Store, &T, &dyn Fn() -> String) -> usize,
}

impl<T: Clone> Life<T> {
    /// The disk behind a life that nothing ends.
    pub fn whole(&self) -> ModelDisk {
        let whole = self.image.clone_image();
        (self.go_on)(&whole, &mut self.told.clone()).unwrap();
        whole
    }

    fn judge(&self, disk: &ModelDisk, told: &T, what: &dyn Fn() -> String) {
        let store = (self.open)(disk).unwrap_or_else(|error| panic!("{}: {error}", what()));
        assert_eq!((self.check)(&store, told, what), 0, "{}", what());
    }

    /// Stops it at every operation; returns how often it was told so, and how often the store was opened again.
    pub fn stop_everywhere(&self) -> (usize, usize) {
        let (ops, mut recoveries, mut stopped) = (self.whole().ops(), 0, 0);
        for at in (1..=ops).step_by(crate::SAMPLE) {
            let (disk, mut told) = (self.image.clone_image(), self.told.clone());
            disk.stop_at(at);
            stopped += usize::from((self.go_on)(&disk, &mut told).is_err());
            let ways = [disk.kill(), disk.power_cut(Cut::Nothing), disk.power_cut(Cut::Random(at))];
            for (way, next) in ways.into_iter().enumerate() {
                self.judge(&next, &told, &|| format!("stopped at {at} of {ops}, way {way}"));
                recoveries += 1;
            }
        }
        println!("T3, {}: {recoveries} recoveries from stops at {ops} operations", self.name);
        (stopped, recoveries)
    }

    /// Lets calls fail, once and for ever; some of them must end it.
    pub fn fail_everywhere(&self) {
        let (ops, mut failed) = (self.whole().ops(), 0);
        for (errno, mode) in
            [(libc::EIO, Mode::Once), (libc::ENOSPC, Mode::Once), (libc::ENOSPC, Mode::Sticky)]
        {
            for at in (1..=ops).step_by(3 * crate::SAMPLE) {
                let (disk, mut told) = (self.image.clone_image(), self.told.clone());
                disk.fail_at(at, errno, mode);
                failed += usize::from((self.go_on)(&disk, &mut told).is_err());
                let what = || format!("call {at} of {ops} fails with {errno}, {mode:?}");
                self.judge(&disk.kill(), &told, &what);
            }
        }
        println!("T4, {}: {failed} lives ended by a failed call, of {ops} places", self.name);
        assert!(failed > 0);
    }
}
