package forecast

// A gram is what a regression needs to know of all sliding windows of `back`
// context values followed by `ahead` target values: how many there were, and
// the sum over them of w[i]*w[j] for each pair of places. The windows
// themselves, back+ahead times as large as the series, are never built.
//
// Every block of a series is shifted by its own mean before the products are
// summed. What is taken from a gram is the same for a window and for that
// window plus a constant (the window's own mean is subtracted, or two of its
// values are compared), so the shift changes nothing but the rounding: the
// sums stay as small as the block's own movement.
type gram struct {
	back, ahead int
	windows     int
	sums        []float64 // (width, width), upper triangle: i <= j

	shifted []float64 // scratch
}

func newGram(back, ahead int) *gram {
	width := back + ahead
	return &gram{back: back, ahead: ahead, sums: make([]float64, width*width)}
}

func (g *gram) width() int { return g.back + g.ahead }

// add takes in every window of a series without gaps.
//
// For places i and j = i+lag the sum runs over the products x[t]*x[t+lag] with
// t from i to i+windows-1: along a diagonal of the matrix, the same running sum
// but for one product that enters and one that leaves. So a diagonal costs one
// pass over the series, not one a place.
func (g *gram) add(series []float64) {
	width := g.width()
	windows := len(series) - width + 1
	if windows < 1 {
		return
	}
	x := g.shift(series)
	for lag := range width {
		sum := dot(x[:windows], x[lag:lag+windows])
		g.sums[lag] += sum
		for i := 1; i+lag < width; i++ {
			in, out := i+windows-1, i-1
			sum += x[in]*x[in+lag] - x[out]*x[out+lag]
			g.sums[i*width+i+lag] += sum
		}
	}
	g.windows += windows
}

// shift copies a series less its mean.
func (g *gram) shift(series []float64) []float64 {
	var sum float64
	for _, v := range series {
		sum += v
	}
	mean := sum / float64(len(series))
	g.shifted = g.shifted[:0]
	for _, v := range series {
		g.shifted = append(g.shifted, v-mean)
	}
	return g.shifted
}

// merge takes in what another gram has seen.
func (g *gram) merge(other *gram) {
	g.windows += other.windows
	for i, v := range other.sums {
		g.sums[i] += v
	}
}

// at is the sum of products of two places, in either order.
func (g *gram) at(i, j int) float64 {
	if i > j {
		i, j = j, i
	}
	return g.sums[i*g.width()+j]
}

// squaredStep is the sum of squared differences between two places of a
// window: the error of forecasting the one by the other.
func (g *gram) squaredStep(i, j int) float64 {
	return g.at(i, i) - 2*g.at(i, j) + g.at(j, j)
}

// centred subtracts each window's own mean, the mean of its context, from all
// of the window, after the fact. With X (windows, back), Y (windows, ahead), 1
// a column of ones and P = I - 11'/back the matrix that subtracts a mean:
//
//	(XP)'(XP)             = P X'X P
//	(XP)'(Y - X11'/back)  = P (X'Y - X'X 11'/back)
func (g *gram) centred() normal {
	n := normal{
		back: g.back, ahead: g.ahead, windows: g.windows,
		xx: make([]float64, g.back*g.back), xy: make([]float64, g.back*g.ahead),
	}
	length := float64(g.back)
	rows := make([]float64, g.back) // X'X 1
	var total float64               // 1'X'X 1
	for i := range g.back {
		for j := range g.back {
			rows[i] += g.at(i, j)
		}
		total += rows[i]
	}
	for i := range g.back {
		for j := range g.back {
			n.xx[i*g.back+j] = g.at(i, j) - (rows[i]+rows[j])/length + total/(length*length)
		}
	}
	for h := range g.ahead {
		var column float64 // 1'X'y
		for i := range g.back {
			column += g.at(i, g.back+h)
		}
		mean := (column - total/length) / length
		for i := range g.back {
			n.xy[i*g.ahead+h] = g.at(i, g.back+h) - rows[i]/length - mean
		}
		y := g.back + h
		n.yy += g.at(y, y) - 2*column/length + total/(length*length)
	}
	return n
}

// dot is the scalar product. Four sums at once, because one sum would wait for
// its own last addition.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
