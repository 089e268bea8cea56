import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { EvaluationsQuery } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { NONE, percent, signed } from "../../ui/format";
import { Table } from "../../ui/Table";
import { NotEvaluated } from "../version/NotEvaluated";
import { type Confusion, confusions } from "./confusions";
import { type Pair, shortName } from "./pair";

const EVALUATIONS = graphql(`
	query Evaluations($a: ID!, $b: ID!) {
		a: version(id: $a) {
			id
			evaluation {
				...Measured
			}
		}
		b: version(id: $b) {
			id
			evaluation {
				...Measured
			}
		}
	}

	fragment Measured on Evaluation {
		accuracy
		topFiveAccuracy
		loss
		confusionMatrix
		dataset {
			id
			name
			classNames
		}
		calibration {
			expectedCalibrationError
		}
		classes {
			f1
		}
	}
`);

type Measured = NonNullable<NonNullable<EvaluationsQuery["a"]>["evaluation"]>;

/** A number of both versions. */
interface Measurement {
	key: number;
	name: string;
	a: number | null | undefined;
	b: number | null | undefined;
	/** Whether it is a share of 0 to 1. */
	isShare?: boolean;
	/** Whether less of it is better. */
	isError?: boolean;
}

/** How well two versions classify, side by side. */
export function Evaluations({ a, b }: Pair) {
	const evaluations = useDocument(EVALUATIONS, { a: a.id, b: b.id });
	return (
		<Answer query={evaluations} rows={10}>
			{({ a: first, b: second }) => {
				const [evaluationA, evaluationB] = [first?.evaluation, second?.evaluation];
				if (!evaluationA || !evaluationB) {
					const version = evaluationA ? b : a;
					return (
						<NotEvaluated key={version.id} version={version}>
							<bdi>{version.model}</bdi>, version {version.number} is not evaluated.
						</NotEvaluated>
					);
				}
				return <SideBySide pair={{ a, b }} a={evaluationA} b={evaluationB} />;
			}}
		</Answer>
	);
}

function SideBySide({ pair, a, b }: { pair: Pair; a: Measured; b: Measured }) {
	const overall: Measurement[] = [
		{ key: 0, name: "Accuracy", a: a.accuracy, b: b.accuracy, isShare: true },
		{ key: 1, name: "Top five", a: a.topFiveAccuracy, b: b.topFiveAccuracy, isShare: true },
		{ key: 2, name: "Mean cross-entropy, nats", a: a.loss, b: b.loss, isError: true },
		{
			key: 3,
			name: "Calibration error",
			a: a.calibration?.expectedCalibrationError,
			b: b.calibration?.expectedCalibrationError,
			isShare: true,
			isError: true,
		},
	];
	const isComparable = a.dataset.id === b.dataset.id;
	return (
		<>
			<Measurements title="Overall" subject="Measure" measurements={overall} pair={pair} />
			{isComparable ? (
				<>
					{a.classes && <ClassScores pair={pair} a={a} b={b} />}
					{a.confusionMatrix && b.confusionMatrix && (
						<Confusions
							pair={pair}
							confusions={confusions(a.confusionMatrix, b.confusionMatrix)}
							classNames={a.dataset.classNames}
						/>
					)}
				</>
			) : (
				<p className="notice">
					They were evaluated on <bdi>{a.dataset.name}</bdi> and on <bdi>{b.dataset.name}</bdi>, so their classes are
					not compared.
				</p>
			)}
		</>
	);
}

function ClassScores({ pair, a, b }: { pair: Pair; a: Measured; b: Measured }) {
	const scores = a.dataset.classNames.map((name, key) => ({
		key,
		name,
		a: a.classes?.[key]?.f1,
		b: b.classes?.[key]?.f1,
	}));
	return <Measurements title="F1 of each class" subject="Class" measurements={scores} pair={pair} />;
}

interface MeasurementsProps {
	title: string;
	/** What each row is. */
	subject: string;
	measurements: readonly Measurement[];
	pair: Pair;
}

function Measurements({ title, subject, measurements, pair }: MeasurementsProps) {
	const columns: readonly Column<Measurement>[] = [
		{ name: subject, cell: ({ name }) => <bdi>{name}</bdi> },
		{ name: shortName(pair.a), isNumber: true, cell: ({ a, isShare }) => written(a, isShare) },
		{ name: shortName(pair.b), isNumber: true, cell: ({ b, isShare }) => written(b, isShare) },
		{
			name: "Difference",
			isNumber: true,
			cell: ({ a, b, isShare, isError = false }) => {
				if (a == null || b == null) return NONE;
				const difference = isShare ? `${signed(100 * (b - a), 1)} points` : signed(b - a, 3);
				return difference.startsWith("±") ? difference : `${difference}, ${b > a === isError ? "worse" : "better"}`;
			},
		},
	];
	return (
		<section aria-label={title}>
			<h2>{title}</h2>
			<Table label={title} columns={columns} rows={measurements} rowKey={({ key }) => key} isNarrow />
		</section>
	);
}

function written(value: number | null | undefined, isShare = false): string {
	if (isShare || value == null) return percent(value);
	return value.toFixed(3);
}

interface ConfusionsProps {
	pair: Pair;
	confusions: readonly Confusion[];
	classNames: readonly string[];
}

function Confusions({ pair, confusions, classNames }: ConfusionsProps) {
	const columns: readonly Column<Confusion>[] = [
		{ name: "True class", cell: ({ actual }) => <bdi>{classNames[actual]}</bdi> },
		{ name: "Taken for", cell: ({ predicted }) => <bdi>{classNames[predicted]}</bdi> },
		{ name: shortName(pair.a), isNumber: true, cell: ({ a }) => a },
		{ name: shortName(pair.b), isNumber: true, cell: ({ b }) => b },
		{ name: "Difference", isNumber: true, cell: ({ a, b }) => signed(b - a, 0) },
	];
	return (
		<section aria-labelledby="confusions">
			<h2 id="confusions">Where they differ most in what they take for what</h2>
			{confusions.length === 0 ? (
				<p>Both take the same number of images of each class for each other one.</p>
			) : (
				<Table
					label="Numbers of images"
					columns={columns}
					rows={confusions}
					rowKey={({ actual, predicted }) => `${actual} ${predicted}`}
					isNarrow
				/>
			)}
		</section>
	);
}
