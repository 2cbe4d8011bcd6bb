;; Snappy's elements, as snappy.ts describes them, eight bytes at a time. `npm run build:wasm` makes snappy-module.ts of this.
;;
;; Whoever calls leaves 8 bytes of memory behind the input and behind the output: a copy may read and write 7 bytes more than
;; it is asked for. The elements that follow write over them, or nobody looks.
(module
  (import "alluvium" "memory" (memory 4))

  ;; Fills [output, outputEnd) from the elements in [input, inputEnd). Returns whether they did, and were without fault.
  (func (export "decompress")
    (param $input i32) (param $inputEnd i32) (param $output i32) (param $outputEnd i32) (result i32)
    (local $outputStart i32) (local $tag i32) (local $type i32) (local $length i32) (local $lengthBytes i32)
    (local $distance i32) (local $from i32) (local $to i32)
    (local.set $outputStart (local.get $output))
    (block $end
      (loop $element
        (br_if $end (i32.ge_u (local.get $input) (local.get $inputEnd)))
        (local.set $tag (i32.load8_u (local.get $input)))
        (local.set $input (i32.add (local.get $input) (i32.const 1)))
        (local.set $type (i32.and (local.get $tag) (i32.const 3)))
        (local.set $length (i32.add (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 1)))

        ;; 00: a literal
        (if (i32.eqz (local.get $type)) (then
          (if (i32.gt_u (local.get $length) (i32.const 60)) (then
            (local.set $lengthBytes (i32.sub (local.get $length) (i32.const 60)))
            (if (i32.gt_u (local.get $lengthBytes) (i32.sub (local.get $inputEnd) (local.get $input)))
              (then (return (i32.const 0))))
            ;; of four bytes, as many as there are of the length
            (local.set $length (i32.and
              (i32.load (local.get $input))
              (i32.shr_u (i32.const -1) (i32.sub (i32.const 32) (i32.shl (local.get $lengthBytes) (i32.const 3))))))
            (local.set $length (i32.add (local.get $length) (i32.const 1)))
            (if (i32.eqz (local.get $length)) (then (return (i32.const 0)))) ;; 2^32
            (local.set $input (i32.add (local.get $input) (local.get $lengthBytes)))))
          (if (i32.gt_u (local.get $length) (i32.sub (local.get $inputEnd) (local.get $input)))
            (then (return (i32.const 0))))
          (if (i32.gt_u (local.get $length) (i32.sub (local.get $outputEnd) (local.get $output)))
            (then (return (i32.const 0))))
          (local.set $from (local.get $input))
          (local.set $to (local.get $output))
          (local.set $input (i32.add (local.get $input) (local.get $length)))
          (local.set $output (i32.add (local.get $output) (local.get $length)))
          (loop $words
            (i64.store (local.get $to) (i64.load (local.get $from)))
            (local.set $from (i32.add (local.get $from) (i32.const 8)))
            (local.set $to (i32.add (local.get $to) (i32.const 8)))
            (br_if $words (i32.lt_u (local.get $to) (local.get $output))))
          (br $element)))

        ;; 01, 10, 11: a copy
        (if (i32.eq (local.get $type) (i32.const 1))
          (then
            (if (i32.eq (local.get $input) (local.get $inputEnd)) (then (return (i32.const 0))))
            (local.set $length (i32.add
              (i32.and (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 7))
              (i32.const 4)))
            (local.set $distance (i32.or
              (i32.load8_u (local.get $input))
              (i32.shl (i32.shr_u (local.get $tag) (i32.const 5)) (i32.const 8))))
            (local.set $input (i32.add (local.get $input) (i32.const 1))))
          (else (if (i32.eq (local.get $type) (i32.const 2))
            (then
              (if (i32.lt_u (i32.sub (local.get $inputEnd) (local.get $input)) (i32.const 2))
                (then (return (i32.const 0))))
              (local.set $distance (i32.load16_u (local.get $input)))
              (local.set $input (i32.add (local.get $input) (i32.const 2))))
            (else
              (if (i32.lt_u (i32.sub (local.get $inputEnd) (local.get $input)) (i32.const 4))
                (then (return (i32.const 0))))
              (local.set $distance (i32.load (local.get $input)))
              (local.set $input (i32.add (local.get $input) (i32.const 4)))))))
        (if (i32.eqz (local.get $distance)) (then (return (i32.const 0))))
        (if (i32.gt_u (local.get $distance) (i32.sub (local.get $output) (local.get $outputStart)))
          (then (return (i32.const 0))))
        (if (i32.gt_u (local.get $length) (i32.sub (local.get $outputEnd) (local.get $output)))
          (then (return (i32.const 0))))
        (local.set $from (i32.sub (local.get $output) (local.get $distance)))
        (local.set $to (local.get $output))
        (local.set $output (i32.add (local.get $output) (local.get $length)))
        (if (i32.ge_u (local.get $distance) (i32.const 8))
          (then
            (loop $words
              (i64.store (local.get $to) (i64.load (local.get $from)))
              (local.set $from (i32.add (local.get $from) (i32.const 8)))
              (local.set $to (i32.add (local.get $to) (i32.const 8)))
              (br_if $words (i32.lt_u (local.get $to) (local.get $output)))))
          (else ;; it repeats what it writes itself
            (loop $bytes
              (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
              (local.set $from (i32.add (local.get $from) (i32.const 1)))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (br_if $bytes (i32.lt_u (local.get $to) (local.get $output))))))
        (br $element)))
    (i32.eq (local.get $output) (local.get $outputEnd))))
