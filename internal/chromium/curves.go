package chromium

import "strings"

// Drawn is true when each chart in sight has a curve on its canvas: pixels of
// one of the theme's colours, in most columns of its middle.
func Drawn(ink string) string {
	return everyChart(`
		const curve = columns('` + ink + `', 128, 255), middle = curve.slice(curve.length / 5, curve.length * 0.7);
		return middle.filter((n) => n > 0).length > middle.length / 2;`)
}

// LooksAhead is true when each chart in sight goes on into the future: right of
// where its curve ends, the forecast's line in many columns, and around it the
// band.
func LooksAhead() string {
	return everyChart(`
		const now = columns('history', 128, 255).findLastIndex((n) => n > 0);
		const line = columns('forecast', 128, 255).slice(now + 2), end = line.findLastIndex((n) => n > 0);
		const band = columns('forecast', 24, 64).slice(now + 2, now + 2 + end);
		return now > 0 && end > now / 20 && line.filter((n) => n > 0).length > end / 3 && band.filter((n) => n > 1).length > end / 2;`)
}

// everyChart asks something of every chart in sight. The question may call
// columns(ink, least, most): how many pixels of a colour of the theme, with an
// opacity between least and most of 255, each column of the canvas has above
// its time axis.
func everyChart(question string) string { return strings.Replace(charts, "QUESTION", question, 1) }

const charts = `(() => {
	const scratch = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const colour = (ink) => {
		scratch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--' + ink);
		scratch.fillRect(0, 0, 1, 1);
		return scratch.getImageData(0, 0, 1, 1).data;
	};
	const ask = (canvas) => {
		const columns = (ink, least, most) => {
			const want = colour(ink);
			scratch.canvas.width = canvas.width;
			scratch.canvas.height = canvas.height;
			scratch.drawImage(canvas, 0, 0);
			const left = Math.round(60 * devicePixelRatio); // the vertical axis
			const { width, data } = scratch.getImageData(left, 0, canvas.width - left, canvas.height - 24 * devicePixelRatio);
			const counts = Array(width).fill(0);
			for (let i = 0; i < data.length; i += 4) {
				if ([0, 1, 2].every((c) => Math.abs(data[i + c] - want[c]) < 30) && data[i + 3] >= least && data[i + 3] <= most) counts[(i / 4) % width]++;
			}
			return counts;
		};
		QUESTION
	};
	const inSight = [...document.querySelectorAll('.chart')].filter((c) => c.getBoundingClientRect().top < innerHeight - 200);
	return inSight.length > 0 && inSight.every((chart) => {
		const canvas = chart.querySelector('canvas');
		return canvas && canvas.width > 0 && ask(canvas);
	});
})()`
