import { useAll, useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { integer, moment, NONE, percent } from "../../ui/format";
import { Picture, type PictureFile, Pictures } from "../../ui/Picture";
import { Table } from "../../ui/Table";
import { Calibration } from "./Calibration";
import { type Cell, Confusion } from "./Confusion";
import { MistakeList } from "./MistakeList";
import { NotEvaluated } from "./NotEvaluated";
import { Training } from "./Training";
import type { NamedVersion } from "./Version";
import "./Evaluation.css";

const EVALUATION = graphql(`
	query Evaluation($version: ID!) {
		version(id: $version) {
			id
			evaluation {
				accuracy
				loss
				imageCount
				topFiveAccuracy
				createdAt
				dataset {
					id
					classNames
				}
				classes {
					class {
						index
						name
					}
					imageCount
					precision
					recall
					f1
				}
				calibration {
					expectedCalibrationError
					bins {
						lower
						upper
						accuracy
						confidence
						imageCount
					}
				}
				mistakes(first: 24) {
					nodes {
						actual {
							name
						}
						predicted {
							name
						}
						image {
							index
							confidence
							picture {
								url
								width
								height
							}
						}
					}
				}
			}
		}
	}
`);

const CELLS = graphql(`
	query ConfusionCells($version: ID!, $mistakesOnly: Boolean!, $after: String) {
		version(id: $version) {
			id
			evaluation {
				confusionCells(first: 100, after: $after, mistakesOnly: $mistakesOnly) {
					totalCount
					pageInfo {
						hasNextPage
						endCursor
					}
					nodes {
						actual {
							index
						}
						predicted {
							index
						}
						imageCount
						exemplar {
							index
							confidence
							picture {
								url
								width
								height
							}
						}
					}
				}
			}
		}
	}
`);

/** The most classes whose cells can be told apart with an image in each. */
const MOST_CLASSES = 40;

/** The most pages of mistakes that are read of a version with more classes. */
const MOST_PAGES = 5;

/** How well a version classifies the test images of its data set. */
export function Evaluation({ version }: NamedVersion) {
	const found = useDocument(EVALUATION, { version: version.id });
	return (
		<>
			<Answer query={found} rows={8}>
				{({ version: answer }) => {
					const evaluation = answer?.evaluation;
					if (!evaluation) return <NotEvaluated version={version}>This version is not evaluated.</NotEvaluated>;
					return (
						<>
							<Facts>
								{{
									Accuracy: percent(evaluation.accuracy),
									"Top five": percent(evaluation.topFiveAccuracy),
									"Mean cross-entropy": `${evaluation.loss.toFixed(3)} nats`,
									"Test images": integer(evaluation.imageCount),
									"Calibration error": percent(evaluation.calibration?.expectedCalibrationError),
									Evaluated: moment(evaluation.createdAt),
								}}
							</Facts>
							<section aria-labelledby="confusion">
								<h2 id="confusion">What it takes for what</h2>
								<Cells version={version.id} classNames={evaluation.dataset.classNames} />
							</section>
							{evaluation.mistakes && <Mistakes mistakes={evaluation.mistakes.nodes} />}
							{evaluation.calibration && <Calibration bins={evaluation.calibration.bins} />}
							{evaluation.classes && <Classes classes={evaluation.classes} />}
						</>
					);
				}}
			</Answer>
			<Training version={version.id} />
		</>
	);
}

function Cells({ version, classNames }: { version: string; classNames: readonly string[] }) {
	const hasMany = classNames.length > MOST_CLASSES;
	const cells = usePages(CELLS, { version, mistakesOnly: hasMany }, (data) => data.version?.evaluation?.confusionCells);
	useAll(cells, hasMany ? MOST_PAGES : undefined);
	return (
		<Answer query={cells} rows={10}>
			{({ pages }) => {
				const all: Cell[] = pages.flatMap((page) => page.version?.evaluation?.confusionCells?.nodes ?? []);
				if (hasMany) {
					return (
						<MistakeList
							version={version}
							cells={all}
							total={pages[0]?.version?.evaluation?.confusionCells?.totalCount ?? all.length}
							classNames={classNames}
						/>
					);
				}
				return (
					<>
						<p className="quiet">
							A row for each true class, a column for each predicted one. Each cell shows the image that was classified
							with the highest confidence.
						</p>
						<Confusion version={version} cells={all} classNames={classNames} />
					</>
				);
			}}
		</Answer>
	);
}

interface ClassReport {
	class: { index: number; name: string };
	imageCount: number;
	precision?: number | null;
	recall?: number | null;
	f1?: number | null;
}

const CLASSES: readonly Column<ClassReport>[] = [
	{ name: "Class", cell: ({ class: { name } }) => <bdi>{name}</bdi> },
	{ name: "Images", isNumber: true, cell: ({ imageCount }) => imageCount },
	{ name: "Precision", isNumber: true, cell: ({ precision }) => percent(precision) },
	{ name: "Recall", isNumber: true, cell: ({ recall }) => percent(recall) },
	{ name: "F1", isNumber: true, cell: ({ f1 }) => (f1 == null ? NONE : f1.toFixed(3)) },
];

function Classes({ classes }: { classes: readonly ClassReport[] }) {
	return (
		<section aria-labelledby="classes">
			<h2 id="classes">Classes</h2>
			<Table label="Classes" columns={CLASSES} rows={classes} rowKey={(report) => report.class.index} isNarrow />
		</section>
	);
}

interface Mistake {
	actual: { name: string };
	predicted: { name: string };
	image: { index: number; confidence: number; picture: PictureFile };
}

function Mistakes({ mistakes }: { mistakes: readonly Mistake[] }) {
	return (
		<section aria-labelledby="mistakes">
			<h2 id="mistakes">Surest mistakes</h2>
			{mistakes.length === 0 && <p>Every test image was classified correctly.</p>}
			<Pictures>
				{mistakes.map(({ actual, predicted, image }) => (
					<li key={image.index}>
						<Picture {...image.picture} alt={`Test image ${image.index}`} />
						<span>
							<bdi>{actual.name}</bdi> taken for <bdi>{predicted.name}</bdi>
						</span>
						<span className="quiet">
							image {image.index}, {percent(image.confidence)}
						</span>
					</li>
				))}
			</Pictures>
		</section>
	);
}
