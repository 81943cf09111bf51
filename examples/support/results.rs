//! The results of a run, as text.

use tilegrad::ops::confusion::Confusion;
use tilegrad::ops::metrics::Metrics;
use tilegrad::report::ClassReport;
use tilegrad::train::{Diagnosis, History};

use super::Options;

/// The results of a run.
pub struct Results {
    /// Metrics and confusion matrix over the test images, if there are any.
    pub tested: Option<(Metrics, Confusion)>,
    pub history: History,
    pub class_names: Vec<String>,
}

impl Results {
    /// Prints test results, diagnosis and times.
    pub fn say(&self, options: &Options, diagnosis: Option<Diagnosis>) {
        let Results { tested, class_names, history } = self;
        match tested {
            Some((tested, confusion)) => {
                let (loss, accuracy) = (tested.loss, tested.accuracy * 100.0);
                let top5 = confusion.top_k_accuracy().filter(|_| class_names.len() > 10);
                let top5 = top5.map_or(String::new(), |share| format!(", among the first five {:.2}%", share * 100.0));
                options.say(format_args!("\ntest     loss {loss:.4}, accuracy {accuracy:.2}%{top5}"));
                match ClassReport::new(confusion, class_names) {
                    Ok(report) => options.say(format_args!(
                        "\n{report}\n{:>14}{balanced:.3}\n",
                        "balanced accuracy ",
                        balanced = report.balanced_accuracy.unwrap_or(0.0)
                    )),
                    Err(error) => eprintln!("{error}"),
                }
            }
            None => options.say("\ntest     none: there are no images to test with"),
        }
        if let Some(diagnosis) = diagnosis {
            options.say(format_args!("fit      {diagnosis}"));
            diagnosis.advice.iter().for_each(|advice| options.say(format_args!("         try {advice}")));
        }
        options.say(format_args!(
            "time     {:.1} s, first step {:.0} ms, median step {:.2} ms",
            history.seconds, history.first_step_ms, history.median_step_ms
        ));
    }
}
