// dra-oracle answers, with upstream's own code, what kube-scheduler would answer: JSON lines in, one JSON line out each.
//
//	dra-oracle allocate   {"objects":[...],"node":"n"}            fits, no-fit, error, timeout or panic; the allocations
//	dra-oracle cel        {"expression":"...","driver":"d","device":{...}}  true, false, compile-error or runtime-error
//	dra-oracle admit      {"objects":[...]}                       whether the API server would admit the objects
//	dra-oracle bench N    {"objects":[...],"nodes":["n",...]}     nanoseconds of N rounds over all nodes
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
)

// One case may be a cluster of hundreds of nodes.
const longestLine = 256 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dra-oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which mode? allocate, cel, admit or bench")
	}
	switch args[0] {
	case "allocate":
		return eachLine(os.Stdin, os.Stdout, allocateLine)
	case "cel":
		return eachLine(os.Stdin, os.Stdout, evaluateLine)
	case "admit":
		return eachLine(os.Stdin, os.Stdout, admitLine)
	case "bench":
		if len(args) != 2 {
			return fmt.Errorf("bench needs a number of rounds")
		}
		rounds, err := strconv.Atoi(args[1])
		if err != nil || rounds < 1 {
			return fmt.Errorf("%q is no number of rounds", args[1])
		}
		return eachLine(os.Stdin, os.Stdout, func(line []byte) any { return benchLine(line, rounds) })
	default:
		return fmt.Errorf("%q is no mode; there are allocate, cel, admit and bench", args[0])
	}
}

// eachLine writes one answer for each line, in order, and hands it out before it reads on.
func eachLine(in io.Reader, out io.Writer, answer func(line []byte) any) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<20), longestLine)
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for lines.Scan() {
		if err := answers.Encode(answer(lines.Bytes())); err != nil {
			return err
		}
	}
	return lines.Err()
}
