import { integer, percent } from "../../ui/format";
import { Scrolls } from "../../ui/Scrolls";

interface Bin {
	lower: number;
	upper: number;
	accuracy?: number | null;
	confidence?: number | null;
	imageCount: number;
}

/** How well confidence agrees with accuracy. */
export function Calibration({ bins }: { bins: readonly Bin[] }) {
	const filled = bins.filter((bin) => bin.imageCount > 0);
	return (
		<section aria-labelledby="calibration">
			<h2 id="calibration">Confidence and accuracy</h2>
			<Scrolls label="Confidence and accuracy">
				<table className="list narrow">
					<thead>
						<tr>
							<th scope="col">Confidence from, to</th>
							<th scope="col" className="number">
								Images
							</th>
							<th scope="col" className="number">
								Mean confidence
							</th>
							<th scope="col" className="number">
								Accuracy
							</th>
							<th scope="col">
								<span className="visually-hidden">Accuracy as a bar</span>
							</th>
						</tr>
					</thead>
					<tbody>
						{filled.map((bin) => (
							<tr key={bin.lower}>
								<td>
									{percent(bin.lower)}, {percent(bin.upper)}
								</td>
								<td className="number">{integer(bin.imageCount)}</td>
								<td className="number">{percent(bin.confidence)}</td>
								<td className="number">{percent(bin.accuracy)}</td>
								<td>
									<meter value={bin.accuracy ?? 0} aria-label="Accuracy" />
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</Scrolls>
		</section>
	);
}
