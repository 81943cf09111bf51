//! Tables of image files and labels, and NumPy's arrays, as data sets.

use std::fs;
use std::io::Write;

use tilegrad::data::{FolderOptions, Format, Opened, SplitKind, open};

use crate::scratch::{Scratch, colour};

fn images(test: &str) -> Scratch {
    let scratch = Scratch::new(test);
    for i in 0..6 {
        colour(&scratch, &format!("images/a{i}.png"), i);
    }
    scratch
}

fn table(scratch: &Scratch, text: &str) -> tilegrad::Result<Opened> {
    open(&scratch.write("labels.csv", text), &FolderOptions::default().test(0.0).validation(None))
}

fn fault(scratch: &Scratch, text: &str) -> String {
    table(scratch, text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn tables_with_and_without_header_are_read() {
    let scratch = images("tables-forms");
    let whole = |text: &str| {
        let opened = table(&scratch, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(opened.format, Format::Table);
        (opened.train.class_names.clone(), opened.overview.counts().iter().sum::<usize>())
    };
    let words = (vec!["ant".to_string(), "bee, wild".to_string()], 3);
    assert_eq!(whole("path,label\nimages/a0.png,ant\nimages/a1.png,\"bee, wild\"\nimages/a2.png,ant\n"), words);
    // Without header, without ending, with the label first, with other columns, and the ids of a competition.
    assert_eq!(whole("images/a0.png,ant\nimages/a1.png,\"bee, wild\"\nimages/a2.png,ant\n"), words);
    assert_eq!(whole("a0,ant\na1,\"bee, wild\"\na2,ant\n"), words);
    assert_eq!(whole("\u{feff}Label;Image;width\nant;a0;5\nbee, wild;a1;5\nant;a2;6\n"), words);
    assert_eq!(whole("id,breed\r\na0,ant\r\na1,\"bee, wild\"\r\na2,ant\r\n"), words);
    // Numbers are sorted as numbers.
    assert_eq!(whole("id,label\na0,10\na1,9\na2,9.0\n").0, ["9", "10"]);
    let opened = open(
        &scratch.write("other/l.csv", "id,label\na0,1\na1,0\n"),
        &FolderOptions::default().image_dir(scratch.join("images")),
    );
    assert_eq!(opened.unwrap().overview.counts(), [2, 0, 0]);
}

#[test]
fn a_column_may_say_the_part_and_the_order_of_lines_decides_nothing() {
    let scratch = images("tables-parts");
    let opened = table(&scratch, "id,label,split\na0,x,train\na1,y,train\na2,x,val\na3,y,Test\n").unwrap();
    assert_eq!(opened.overview.counts(), [2, 1, 0], "no test was wanted");
    let opened = table(&scratch, "id,label,is_valid\na0,x,False\na1,y,False\na2,x,True\n").unwrap();
    assert_eq!((opened.overview.counts(), opened.split.validation), ([2, 1, 0], SplitKind::Given));
    assert!(fault(&scratch, "id,label,split\na0,x,train\na1,y,maybe\n").contains("line 3: split is \"maybe\""));
    let half = FolderOptions::default().test(0.5);
    let split = |text: &str| open(&scratch.write("l.csv", text), &half).unwrap().test;
    let lines = ["a0,x", "a1,y", "a2,x", "a3,y", "a4,x", "a5,y"];
    let backward: Vec<&str> = lines.iter().rev().copied().collect();
    assert_eq!(
        split(&format!("id,label\n{}\n", lines.join("\n"))),
        split(&format!("id,label\n{}\n", backward.join("\n")))
    );
}

#[test]
fn what_a_table_does_not_list_is_counted() {
    let scratch = images("tables-passed");
    scratch.write("images/notes.txt", "");
    scratch.write("images/elsewhere/a9.png", "not beside the listed ones");
    let opened = table(&scratch, "id,label\na0,x\na1,y\na0.png,x\nimages/a1.png,y\n").unwrap();
    assert_eq!(opened.overview.counts(), [2, 0, 0]);
    let text = opened.overview.passed.to_string();
    assert_eq!(text, "1 .txt, 4 images that the table does not list, 2 lines that name an image again");
    assert!(opened.overview.to_string().contains("passed over 1 .txt"), "{}", opened.overview);
    // The table itself is nothing that was passed over.
    colour(&scratch, "b0.png", 20);
    let opened = table(&scratch, "id,label\nb0.png,x\nimages/a1.png,y\n").unwrap();
    assert_eq!(opened.overview.passed.to_string(), "1 .txt, 5 images that the table does not list");
}

#[test]
fn wrong_tables_name_the_line() {
    let scratch = images("tables-wrong");
    for (text, expected) in [
        ("id,label\na0,1\na1,cat\n", "line 3: the label \"cat\" is a word, but \"1\" in line 2 is a number"),
        ("id,label\na0,1\na1,\n", "line 3: has no label"),
        ("id,label\na0,0.5\na1,1\n", "line 2: the label 0.5 is a number with a fraction"),
        ("id,label\na0,cat\na1,dog\na2,cat dog\n", "line 4: \"cat dog\" looks like 2 labels"),
        ("id,label\na0,cat;dog\na1,dog\n", "line 2: \"cat;dog\" looks like 2 labels"),
        ("id,label\na0,1 4 7\na1,1\n", "line 2: \"1 4 7\""),
        ("id,label\na0,cat\na1,dog\na0,dog\n", "line 4: a0 is dog, in line 2 it is cat"),
        ("id,label\na0,cat\nzz,dog\n", "line 3: there is no image \"zz\""),
        ("id,label\na0,cat\na1,dog,7\n", "line 3: has 3 fields"),
        ("id,cat,dog\na0,1,0\n", "line 1: has the columns id, cat, dog"),
        ("one,two\nthree,four\n", "line 1: has the fields one, two"),
        ("id,label\na0,cat\na1,cat\n", "has one class only"),
        ("id,label\n", "lists no image to train on"),
        ("", "is empty"),
    ] {
        let message = fault(&scratch, text);
        assert!(message.contains(expected), "{text}: {message}");
    }
    let bytes = b"id,label\na0,\xff\na1,x\n";
    fs::write(scratch.join("l.csv"), bytes).unwrap();
    let error = open(&scratch.join("l.csv"), &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2: is no UTF-8"), "{error}");
}

fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), body].concat()
}

fn npz(scratch: &Scratch, name: &str, arrays: &[(&str, Vec<u8>)]) -> std::path::PathBuf {
    let path = scratch.path(name);
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (i, (name, bytes)) in arrays.iter().enumerate() {
        let method = if i % 2 == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
    path
}

#[test]
fn arrays_are_read_from_one_file_or_several() {
    let scratch = Scratch::new("tables-arrays");
    let images = npy("|u1", "(4, 2, 2)", &(0..16).collect::<Vec<u8>>());
    let labels = |count: u8| {
        let body: Vec<u8> = (0..count).flat_map(|i| i64::from(i % 2 + 3).to_le_bytes()).collect();
        npy("<i8", &format!("({count}, 1)"), &body)
    };
    let options = FolderOptions::default().test(None).validation(0.0);
    // The names of Keras and of MedMNIST.
    for [x, y, test_x, test_y] in
        [["x_train", "y_train", "x_test", "y_test"], ["train_images", "train_labels", "test_images", "test_labels"]]
    {
        let test = npy("|u1", "(2, 2, 2)", &[9; 8]);
        let path =
            npz(&scratch, "set.npz", &[(x, images.clone()), (y, labels(4)), (test_x, test), (test_y, labels(2))]);
        let opened = open(&path, &options).unwrap();
        assert_eq!((opened.format, opened.train.class_names.clone()), (Format::Arrays, vec!["3".into(), "4".into()]));
        assert_eq!((opened.train.labels.as_slice(), opened.train.image(1)), (&[0, 1, 0, 1][..], &[4, 5, 6, 7][..]));
        assert_eq!(opened.test.len(), 2);
    }
    let floats: Vec<u8> = (0..24).flat_map(|i| (i as f32 / 255.0).to_le_bytes()).collect();
    scratch.write("folder/X_train.npy", npy("<f4", "(2, 3, 2, 2)", &floats));
    scratch.write("folder/y_train.npy", labels(2));
    let opened = open(&scratch.join("folder"), &options).unwrap();
    assert_eq!(opened.train.image(0)[..3], [0, 4, 8], "channels last");
    assert!(
        opened.overview.to_string().contains("note: pixels are floats, taken as 0..1\n")
            || opened.overview.to_string().contains("taken as 0..1")
    );
    assert!(!opened.overview.to_string().contains("rounded"), "{}", opened.overview);
}

#[test]
fn wrong_arrays_are_named() {
    let scratch = Scratch::new("tables-wrong-arrays");
    let images = npy("|u1", "(2, 2, 2)", &[7; 8]);
    let fault = |images: Vec<u8>, labels: Vec<u8>| {
        let path = npz(&scratch, "set.npz", &[("x", images), ("y", labels)]);
        open(&path, &FolderOptions::default()).map(|_| ()).unwrap_err().to_string()
    };
    let good = npy("|u1", "(2,)", &[0, 1]);
    for (x, y, expected) in [
        (images.clone(), npy("|u1", "(3,)", &[0, 1, 1]), "array y: holds 3 labels, but x holds 2 images"),
        (images.clone(), npy("|u1", "(2, 2)", &[0, 1, 1, 0]), "one-hot"),
        (images.clone(), npy("<f4", "(2,)", &[0; 8]), "array y: has the type float32"),
        (images.clone(), npy("|u1", "(2,)", &[1, 1]), "one class only"),
        (npy("|u1", "(2, 4)", &[7; 8]), good.clone(), "reshape"),
        (npy("|u1", "(2, 2, 2, 2)", &[7; 16]), good.clone(), "neither first nor last"),
        (npy("|u1", "(2, 3, 2, 3)", &[7; 36]), good.clone(), "first or last"),
        (npy("|i1", "(2, 2, 2)", &[255; 8]), good.clone(), "array x: value 0 is -1"),
        (npy("|u1", "(2, 2, 2)", &[7; 7]), good.clone(), "array x: the header says [2, 2, 2] of uint8 = 8 bytes"),
        (npy("|u1", "(999999999999, 2, 2)", &[7; 7]), good.clone(), "can't hold more than 67108864"),
    ] {
        let message = fault(x, y);
        assert!(message.contains(expected), "{message}, not {expected}");
    }
    let path = npz(&scratch, "set.npz", &[("arr_0", images), ("arr_1", good)]);
    let error = open(&path, &FolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("holds the arrays arr_0, arr_1"), "{error}");
    fs::write(&path, b"PK no archive").unwrap();
    assert!(open(&path, &FolderOptions::default()).unwrap_err().to_string().contains("is no .npz file"));
}
