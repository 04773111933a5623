package patchtst

import "fettle/patchtst/internal/kernel"

// first is the first attention's query, key and value straight from the
// patches, where nothing but linear maps lies between: with an embedding
// x = E patch + e[n] (its bias and the place in e[n]) and a batch norm, which
// is y = a x + s even while training,
//
//	W y + b = (W diag(a) E) patch + table[n],   table[n] = W (a e[n] + s) + b
//
// That takes P multiplications for a number instead of D. On the way back the
// sums of firstSums over the batch are all that the gradients of W, of the
// norm and of the embedding need.
type first struct {
	maps   matrix // (P, 3 D) the patch's part, for query, key and value
	table  matrix // (N, 3 D)
	scaled matrix // (P, D) diag(a) E, transposed
	view   matrix // (N, D) a e[n] + s

	// Of a training step alone, the gradient dy of the view y, summed up:
	patchDY matrix // (P, D) patch dy'
	placeDY matrix // (N, D) dy at each place
}

// hasFirst says whether the conditions hold.
func (c Config) hasFirst() bool {
	return c.Norm == "batchnorm" && c.PreNorm && c.PositionalDropout == 0 && !c.ClassToken && c.ShareEmbedding
}

func newFirst(a *arena, c Config, training bool) *first {
	f := &first{
		maps: a.matrix(c.PatchLength, 3*c.ModelWidth), table: a.matrix(c.Patches(), 3*c.ModelWidth),
		scaled: a.matrix(c.PatchLength, c.ModelWidth), view: a.matrix(c.Patches(), c.ModelWidth),
	}
	if training {
		f.patchDY, f.placeDY = a.matrix(c.PatchLength, c.ModelWidth), a.matrix(c.Patches(), c.ModelWidth)
	}
	return f
}

// prepare follows the weights, and what the norm's statistics have come to.
func (f *first) prepare(k *kernel.Kernels, t *tensors, l *layers, n *normalizer) {
	d, patch := f.view.Cols, f.scaled.Rows
	for i := range d {
		for p := range patch {
			f.scaled.Data[p*d+i] = n.scale[i] * t.embedding[0].weight[i*patch+p]
		}
	}
	for r := range f.view.Rows {
		place := t.position[r*d:][:d]
		for i, bias := range t.embedding[0].bias {
			f.view.Row(r)[i] = n.scale[i]*(bias+place[i]) + n.shift[i]
		}
	}
	for i, part := range l.blocks[0].projections() {
		part.forward(k, columns(f.table, i*d, d), plain(f.view))
		k.MultiplyPanels(columns(f.maps, i*d, d), f.scaled, part.packed, matrix{})
	}
}

// project is the query, key and value of a window's patches (C N, P).
func (f *first) project(k *kernel.Kernels, qkv, patches matrix) {
	n := f.table.Rows
	for from := 0; from < patches.Rows; from += n {
		k.Multiply(qkv.RowRange(from, from+n), patches.RowRange(from, from+n), f.maps, f.table)
	}
}

// moments is what kernel.Moments answers for feature i of the stream x = E patch
// + e[n] of all windows: functions of the sums over their patches; count is how
// many of them there are at each place.
func (f *first) moments(i int, s *firstSums, t *tensors, count float64) (sum, square float64) {
	patch := f.scaled.Rows
	weights := t.embedding[0].weight[i*patch:][:patch]
	for place := range f.view.Rows {
		var mapped float64 // E patch, summed up
		for p, w := range weights {
			mapped += float64(w) * s.places[place*patch+p]
		}
		e := t.placed(i, place)
		sum += mapped + count*e
		square += e * (2*mapped + count*e)
	}
	for p, w := range weights {
		for q, v := range weights {
			square += float64(w) * float64(v) * s.squares[p*patch+q]
		}
	}
	return sum, square
}

// placed is e[n], of one feature.
func (t *tensors) placed(feature, place int) float64 {
	bias := t.embedding[0].bias
	return float64(bias[feature]) + float64(t.position[place*len(bias)+feature])
}

// firstSums are sums over the windows and channels of a batch.
type firstSums struct {
	mapGradient   matrix    // (P, 3 D) patch dqkv'
	tableGradient matrix    // (N, 3 D) dqkv
	patchResidual matrix    // (P, D) patch g', of the gradient g that goes past the block
	placeResidual matrix    // (N, D) g
	places        []float64 // (N, P) patches
	squares       []float64 // (P, P) patch patch'
}

func newFirstSums(a *arena, c Config) *firstSums {
	return &firstSums{
		mapGradient: a.matrix(c.PatchLength, 3*c.ModelWidth), tableGradient: a.matrix(c.Patches(), 3*c.ModelWidth),
		patchResidual: a.matrix(c.PatchLength, c.ModelWidth), placeResidual: a.matrix(c.Patches(), c.ModelWidth),
		places: make([]float64, c.Patches()*c.PatchLength), squares: make([]float64, c.PatchLength*c.PatchLength),
	}
}

// matrices are the sums of the way back.
func (s *firstSums) matrices() [4]matrix {
	return [4]matrix{s.mapGradient, s.tableGradient, s.patchResidual, s.placeResidual}
}

func (s *firstSums) clear() {
	for _, m := range s.matrices() {
		clear(m.Data)
	}
	clear(s.places)
	clear(s.squares)
}

// joinPatches and joinGradients add the sums of another part of the batch.
func (s *firstSums) joinPatches(other *firstSums) {
	for i, v := range other.places {
		s.places[i] += v
	}
	for i, v := range other.squares {
		s.squares[i] += v
	}
}

func (s *firstSums) joinGradients(k *kernel.Kernels, other *firstSums) {
	others := other.matrices()
	for i, m := range s.matrices() {
		k.Add(m.Data, others[i].Data)
	}
}

// addPatches adds a window's patches (C N, P). They are added up in float64:
// products of numbers that need not lie around zero.
func (s *firstSums) addPatches(patches matrix) {
	patch := patches.Cols
	for r := range patches.Rows {
		x := patches.Row(r)
		place := s.places[r*patch%len(s.places):][:patch]
		for i, v := range x {
			v := float64(v)
			place[i] += v
			squares := s.squares[i*patch:][:patch]
			for j, w := range x {
				squares[j] += v * float64(w)
			}
		}
	}
}

// addGradients adds what a window gives: dQKV (C N, 3 D) and residual (C N, D),
// the gradient of the stream after the block.
func (s *firstSums) addGradients(k *kernel.Kernels, patches, dQKV, residual matrix) {
	k.MultiplyTransposed(s.mapGradient, patches, dQKV, s.mapGradient)
	k.MultiplyTransposed(s.patchResidual, patches, residual, s.patchResidual)
	for from := 0; from < len(dQKV.Data); from += len(s.tableGradient.Data) {
		k.Add(s.tableGradient.Data, dQKV.Data[from:][:len(s.tableGradient.Data)])
	}
	for from := 0; from < len(residual.Data); from += len(s.placeResidual.Data) {
		k.Add(s.placeResidual.Data, residual.Data[from:][:len(s.placeResidual.Data)])
	}
}
