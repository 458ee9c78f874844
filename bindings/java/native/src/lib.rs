//! repliq for Java.
